/* cmd_models.c - fovea models: the registered networks with their size and cost. */
#include "cli/command.h"
#include "cli/print.h"
#include "core/suggest.h"
#include "models/model.h"

#include <inttypes.h>
#include <string.h>

#define MOST_NAMES 1024

static fv_value *row_value(fv_arena *arena, const fv_model *model, const fv_model_cost *cost) {
    fv_value *map = fv_value_new(arena, FV_VALUE_MAP);
    fv_value *size = fv_value_new(arena, FV_VALUE_LIST); /* timm's order: channels, height, width */

    fv_value_add(size, fv_value_int(arena, 3));
    fv_value_add(size, fv_value_int(arena, model->input.height));
    fv_value_add(size, fv_value_int(arena, model->input.width));
    fv_value_set(arena, map, "name", fv_value_string(arena, model->name));
    fv_value_set(arena, map, "family", fv_value_string(arena, model->family->name));
    fv_value_set(arena, map, "params", fv_value_int(arena, fv_params_count(&model->params)));
    fv_value_set(arena, map, "gmacs", fv_value_real(arena, cost->macs / 1e9));
    fv_value_set(arena, map, "input_size", size);
    return map;
}

static void print_row(const fv_model *model, const fv_model_cost *cost) {
    fv_print("%-34s %-10s %10.2f %9.3f  %" PRId64 "x%" PRId64 "\n", model->name,
             model->family->name, (double)fv_params_count(&model->params) / 1e6, cost->macs / 1e9,
             model->input.height, model->input.width);
}

static fv_status list_model(const char *name, fv_arena *arena, fv_value *list) {
    fv_model *model = NULL;
    fv_model_cost cost;

    FV_TRY(fv_model_describe(&(fv_model_config){.name = name}, &model));
    const fv_status status = fv_model_cost_of(model, &cost);
    if (status == FV_OK && list)
        fv_value_add(list, row_value(arena, model, &cost));
    else if (status == FV_OK)
        print_row(model, &cost);
    fv_model_destroy(model);
    return status;
}

static fv_status no_match(const char *pattern) {
    const char *names[MOST_NAMES] = {NULL};
    char hint[FV_SUGGEST_TEXT];

    for (int i = 0; i < MOST_NAMES - 1 && fv_model_name(i); i++) names[i] = fv_model_name(i);
    return FV_FAIL(FV_ERR_CONFIG, "no model is called '%.80s'%s", pattern,
                   fv_suggest_text(pattern, names, hint));
}

static fv_status run(const fv_args *args) {
    const char *pattern = args->n_positional > 0 ? args->positional[0] : "*";
    fv_arena arena = {0};
    fv_value *list = args->settings.json ? fv_value_new(&arena, FV_VALUE_LIST) : NULL;
    fv_status status = args->settings.json && !list ? FV_ERR_NOMEM : FV_OK;
    const char *name;
    int found = 0;

    for (int i = 0; status == FV_OK && (name = fv_model_match(pattern, &i)); found++) {
        if (found == 0 && !list)
            fv_print("%-34s %-10s %10s %9s  %s\n", "name", "family", "params/M", "GMACs", "input");
        status = list_model(name, &arena, list);
    }
    if (status == FV_OK && found == 0) status = no_match(pattern);
    if (status == FV_OK && list) status = fv_print_json(list);
    fv_arena_destroy(&arena);
    return status;
}

const fv_command fv_command_models = {
    .name = "models",
    .summary = "list the models with their parameters and cost",
    .usage = "[PATTERN] [options]",
    .details = "PATTERN may hold * and ?. GMACs are those of one image of the model's own size.",
    .example = "fovea models 'vit_*'",
    .options = FV_CMD_MODELS,
    .max_args = 1,
    .run = run,
};
