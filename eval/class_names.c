#include "eval/class_names.h"

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
