#include "models/freeze.h"

#include <string.h>

#define BACKBONE "backbone"
#define MAX_NAME 256

static int64_t freeze_part(fv_model *model, const char *name) {
    int64_t n = 0;

    if (strcmp(name, BACKBONE) != 0) return fv_params_freeze(&model->params, name);
    for (int64_t i = 0; i < model->params.count; i++)
        if (!fv_model_is_classifier(model, model->params.item[i]->name))
            n += fv_params_freeze(&model->params, model->params.item[i]->name);
    return n;
}

fv_status fv_model_freeze(fv_model *model, const char *list) {
    while (*list) {
        const size_t n = strcspn(list, ",");
        char name[MAX_NAME];
        if (n >= sizeof name)
            return FV_FAIL(FV_ERR_CONFIG, "freeze: a name is longer than %d bytes", MAX_NAME - 1);
        memcpy(name, list, n);
        name[n] = '\0';
        if (!n || !freeze_part(model, name))
            return FV_FAIL(FV_ERR_CONFIG,
                           "freeze: '%s' is no part of %s; 'fovea summary %s' lists its parts, and "
                           "'" BACKBONE "' is everything but the classifier",
                           name, model->name, model->name);
        list += n;
        list += *list == ',';
    }
    if (fv_params_frozen(&model->params) < fv_params_count(&model->params)) return FV_OK;
    return FV_FAIL(FV_ERR_CONFIG, "freeze: nothing of %s is left to train", model->name);
}
