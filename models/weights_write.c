/* weights_write.c - config.json and weights of a model; the reading side is weights.c. */
#include "core/file.h"
#include "core/json.h"
#include "models/weights.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The shortest decimal that reads back to the same float: 0.485, not 0.48500001430511475. */
static fv_value *real_of_float(fv_arena *arena, float v) {
    double shortest = (double)v;
    char text[32];

    for (int digits = 1; digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, (double)v);
        shortest = strtod(text, NULL);
        if ((float)shortest == v) break;
    }
    return fv_value_real(arena, shortest);
}

static fv_value *channels(fv_arena *arena, const float v[3]) {
    fv_value *list = fv_value_new(arena, FV_VALUE_LIST);
    for (int c = 0; c < 3; c++) fv_value_add(list, real_of_float(arena, v[c]));
    return list;
}

static fv_value *size_of(fv_arena *arena, const fv_model_input *in) {
    fv_value *size = fv_value_new(arena, FV_VALUE_LIST); /* as in PyTorch: C, H, W */
    fv_value_add(size, fv_value_int(arena, 3));
    fv_value_add(size, fv_value_int(arena, in->height));
    fv_value_add(size, fv_value_int(arena, in->width));
    return size;
}

/* One name, or a list of two. */
static fv_value *classifiers(fv_arena *arena, const fv_model *model) {
    if (!model->classifiers[1]) return fv_value_string(arena, model->classifiers[0]);
    fv_value *list = fv_value_new(arena, FV_VALUE_LIST);
    for (int i = 0; i < 2; i++) fv_value_add(list, fv_value_string(arena, model->classifiers[i]));
    return list;
}

static fv_value *pretrained_cfg(const fv_model *model, fv_arena *arena) {
    const fv_model_input *in = &model->input;
    fv_value *cfg = fv_value_new(arena, FV_VALUE_MAP);

    fv_value_set(arena, cfg, "num_classes", fv_value_int(arena, model->num_classes));
    fv_value_set(arena, cfg, "input_size", size_of(arena, in));
    fv_value_set(arena, cfg, "fixed_input_size", fv_value_bool(arena, !in->any_size));
    fv_value_set(arena, cfg, "interpolation", fv_value_string(arena, in->interpolation));
    fv_value_set(arena, cfg, "crop_pct", fv_value_real(arena, in->crop_pct));
    fv_value_set(arena, cfg, "crop_mode", fv_value_string(arena, "center"));
    fv_value_set(arena, cfg, "mean", channels(arena, in->mean));
    fv_value_set(arena, cfg, "std", channels(arena, in->std));
    fv_value_set(arena, cfg, "first_conv", fv_value_string(arena, model->first_conv));
    fv_value_set(arena, cfg, "classifier", classifiers(arena, model));
    return cfg;
}

static void set_copy(fv_arena *arena, fv_value *map, const char *key, const fv_value *v) {
    if (v && v->count) fv_value_set(arena, map, key, fv_value_copy(arena, v));
}

fv_value *fv_model_config_tree(const fv_model *model, const char *const *label_names,
                               fv_arena *arena) {
    fv_value *map = fv_value_new(arena, FV_VALUE_MAP);

    fv_value_set(arena, map, "architecture", fv_value_string(arena, model->name));
    fv_value_set(arena, map, "num_classes", fv_value_int(arena, model->num_classes));
    fv_value_set(arena, map, "num_features", fv_value_int(arena, model->num_features));
    fv_value_set(arena, map, "global_pool", fv_value_string(arena, model->global_pool));
    if (label_names) {
        fv_value *names = fv_value_new(arena, FV_VALUE_LIST);
        for (int64_t i = 0; i < model->num_classes; i++)
            fv_value_add(names, fv_value_string(arena, label_names[i]));
        fv_value_set(arena, map, "label_names", names);
    }
    set_copy(arena, map, "model_args", model->args);
    set_copy(arena, map, "attention", model->attention);
    set_copy(arena, map, "pool", model->pool);
    set_copy(arena, map, "pos", model->pos);
    fv_value_set(arena, map, "pretrained_cfg", pretrained_cfg(model, arena));
    return map;
}

fv_status fv_model_config_json(const fv_model *model, const char *const *label_names,
                               fv_arena *arena, char **text) {
    const fv_value *map = fv_model_config_tree(model, label_names, arena);

    *text = NULL;
    return map ? fv_json_write(map, FV_JSON_INDENT, arena, text) : FV_ERR_NOMEM;
}

/* The values as a naming calls them; parts of a parameter are ranges of its rows. */
static fv_status name_items(const fv_model *model, const fv_tensor_names *names, fv_arena *arena,
                            fv_safetensors_item **out, int64_t *n_out) {
    const fv_params *params = &model->params;
    const size_t most = (size_t)params->count;
    fv_safetensors_item *own = fv_arena_alloc(arena, most, sizeof *own);
    fv_safetensors_item *items = fv_arena_alloc(arena, most * FV_PARAM_PARTS, sizeof *items);
    int64_t n = 0;

    if (!own || !items) return FV_ERR_NOMEM;
    FV_TRY(fv_params_items(params, FV_PARAMS_ALL, &params->value, "", arena, own, &n));
    *n_out = 0;
    for (int64_t i = 0; i < n; i++) {
        const fv_param_source *source = &names->source[i];
        fv_tensor part = own[i].tensor;
        if (source->n > 1) part.shape.dim[0] /= source->n;
        const size_t bytes = (size_t)fv_shape_numel(&part.shape) * fv_dtype_bytes(part.dtype);
        for (int k = 0; k < source->n; k++) {
            items[(*n_out)++] = (fv_safetensors_item){source->part[k], part};
            part.data = (char *)part.data + bytes;
        }
    }
    *out = items;
    return FV_OK;
}

static fv_status save_weights(const fv_model *model, const fv_tensor_names *names, fv_arena *arena,
                              const char *path) {
    fv_safetensors_item *items = NULL;
    int64_t n = 0;

    if (!names) return fv_params_save(&model->params, NULL, path, NULL, 0);
    FV_TRY(name_items(model, names, arena, &items, &n));
    return fv_safetensors_save(path, items, n, NULL, 0);
}

fv_status fv_model_save(const fv_model *model, const char *const *label_names, const char *folder) {
    return fv_model_save_named(model, label_names, NULL, folder);
}

fv_status fv_model_save_named(const fv_model *model, const char *const *label_names,
                              const fv_tensor_names *names, const char *folder) {
    fv_arena arena = {0};
    char *json = NULL;

    const char *weights = fv_arena_printf(&arena, "%s/" FV_CHECKPOINT_WEIGHTS, folder);
    const char *config = fv_arena_printf(&arena, "%s/" FV_CHECKPOINT_CONFIG, folder);
    fv_status status = weights && config ? fv_folder_create(folder) : FV_ERR_NOMEM;
    if (status == FV_OK) status = save_weights(model, names, &arena, weights);
    if (status == FV_OK) status = fv_model_config_json(model, label_names, &arena, &json);
    if (status == FV_OK) status = fv_file_write(config, json, strlen(json));
    fv_arena_destroy(&arena);
    return status;
}
