#include "eval/class_names.h"

#include "core/json.h"

#include <string.h>

fv_status fv_class_names_check(const char *checkpoint, const char *const *names, int64_t n,
                               const fv_dataset *dataset) {
    const int64_t shared = n < dataset->n_classes ? n : dataset->n_classes;
    const char *extra = NULL;

    for (int64_t i = 0; names && i < shared; i++)
        if (strcmp(names[i], dataset->class_names[i]) != 0)
            return FV_FAIL(FV_ERR_FORMAT, "class %lld is '%s' in the checkpoint %s but '%s' in %s",
                           (long long)i, names[i], checkpoint, dataset->class_names[i],
                           dataset->root);
    if (n == dataset->n_classes) return FV_OK;
    if (names) extra = n > shared ? names[shared] : dataset->class_names[shared];
    return FV_FAIL(FV_ERR_FORMAT, "%s has %lld classes, the checkpoint %s has %lld%s%s%s",
                   dataset->root, (long long)dataset->n_classes, checkpoint, (long long)n,
                   extra ? "; only one of them knows '" : "", extra ? extra : "", extra ? "'" : "");
}

fv_status fv_class_names_json(const fv_dataset *dataset, fv_arena *arena, char **text) {
    fv_value *list = fv_value_new(arena, FV_VALUE_LIST);

    for (int64_t c = 0; c < dataset->n_classes; c++)
        fv_value_add(list, fv_value_string(arena, dataset->class_names[c]));
    return list ? fv_json_write(list, FV_JSON_COMPACT, arena, text) : FV_ERR_NOMEM;
}

fv_status fv_sample_names_json(const fv_dataset *dataset, const int64_t *index, int64_t n,
                               fv_arena *arena, char **text) {
    fv_value *list = fv_value_new(arena, FV_VALUE_LIST);

    for (int64_t i = 0; i < n; i++)
        fv_value_add(list, fv_value_string(arena, dataset->samples[index[i]].name));
    return list ? fv_json_write(list, FV_JSON_COMPACT, arena, text) : FV_ERR_NOMEM;
}
