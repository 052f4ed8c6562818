/* trainer_initial.c - a run that starts from the weights of another one: of other classes, at another
 * resolution. */
#include "core/json.h"
#include "models/weights.h"
#include "train/trainer_internal.h"

#include <string.h>

#define MAX_CONFIG_BYTES ((size_t)16 << 20)

/* Does the checkpoint name as many classes as the data set has, but not the same in the same order? */
static fv_status other_classes(const fv_trainer *t, const char *config, fv_arena *arena,
                               bool *other) {
    fv_value *map = NULL;

    *other = false;
    if (!config) return FV_OK;
    FV_TRY(fv_json_load(config, MAX_CONFIG_BYTES, arena, &map));
    const fv_value *list = fv_value_find(map, "label_names");
    if (!list || list->kind != FV_VALUE_LIST || list->count != t->train->n_classes) return FV_OK;
    int64_t i = 0;
    for (const fv_value *v = list->first; v; v = v->next, i++)
        if (v->kind == FV_VALUE_STRING && strcmp(v->text, t->train->class_names[i]) != 0)
            *other = true;
    return FV_OK;
}

fv_status fv_trainer_load_initial(fv_trainer *t) {
    fv_checkpoint_files files;
    fv_safetensors *st = NULL;
    fv_load_report report = {0};
    char text[FV_LOAD_REPORT_TEXT];
    bool other;

    FV_TRY(fv_checkpoint_resolve(t->settings->initial_checkpoint, &t->arena, &files));
    FV_TRY(other_classes(t, files.config, &t->arena, &other));
    FV_TRY(fv_safetensors_open(files.weights, &st));
    const fv_status status =
        fv_model_load_values(t->model, st, other ? FV_HEAD_NEW : FV_HEAD_ADAPTS, &report);
    if (status == FV_OK && fv_load_report_text(&report, text)[0])
        fv_report_info(t->report, "start   %s", text);
    fv_load_report_destroy(&report);
    fv_safetensors_close(st);
    return status;
}
