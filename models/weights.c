#include "models/weights.h"

#include "core/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define MAX_CONFIG_BYTES ((size_t)16 << 20)

/* A file being opened: what it says and what the caller asks for. */
typedef struct opening {
    const fv_model_overrides *overrides;
    fv_model_meta *meta;
    fv_safetensors *st;
    fv_value *pretrained; /* pretrained_cfg, or the top level of older hub folders */
    fv_model_config config;
    bool of_file; /* config says nothing but what the file does */
} opening;

/* ---- what to build ---- */

static fv_status read_config(opening *o) {
    const fv_checkpoint_files *files = &o->meta->files;

    if (!files->config) return FV_OK;
    FV_TRY(fv_json_load(files->config, MAX_CONFIG_BYTES, &o->meta->arena, &o->meta->config));
    if (o->meta->config->kind != FV_VALUE_MAP)
        return FV_FAIL(FV_ERR_FORMAT, "%s: not a JSON object", files->config);
    o->pretrained = fv_value_find(o->meta->config, "pretrained_cfg");
    if (!o->pretrained) o->pretrained = o->meta->config;
    return FV_OK;
}

/* Equal but for a ".tag". */
static bool same_name(const char *a, const char *b) {
    const size_t n = strcspn(a, ".");
    return n == strcspn(b, ".") && strncmp(a, b, n) == 0;
}

static fv_status choose_name(opening *o) {
    const char *stored = NULL, *asked = o->config.name && o->config.name[0] ? o->config.name : NULL;

    FV_TRY(fv_value_get_string(o->meta->config, "architecture", &stored));
    if (asked && stored && !same_name(asked, stored))
        return FV_FAIL(FV_ERR_CONFIG, "%s holds a %s, not a %s", o->meta->weights, stored, asked);
    o->config.name = asked ? asked : stored;
    if (o->config.name) return FV_OK;
    if (o->meta->config)
        return FV_FAIL(FV_ERR_FORMAT, "%s: no architecture", o->meta->files.config);
    return FV_FAIL(FV_ERR_CONFIG,
                   "%s: a weights file without config.json does not say which model it is: name it "
                   "with --model",
                   o->meta->weights);
}

/* The number of classes of a file that does not say it: the rows of its classifier. */
static fv_status count_classes(opening *o) {
    fv_arena arena = {0};
    fv_model *model = NULL;
    fv_tensor_names names;

    fv_status status = fv_model_describe(&o->config, &model);
    if (status == FV_OK) status = fv_tensor_names_choose(model, o->st, &arena, &names);
    if (status == FV_OK) {
        const char *weight = fv_arena_printf(&arena, "%s.weight", model->classifiers[0]);
        const fv_safetensors_entry *e =
            weight ? fv_tensor_names_find(&names, model, o->st, weight) : NULL;
        if (e && e->shape.rank >= 2) o->config.num_classes = e->shape.dim[0];
        if (!weight) status = FV_ERR_NOMEM;
    }
    fv_model_destroy(model);
    fv_arena_destroy(&arena);
    return status;
}

static fv_status choose_sizes(opening *o) {
    fv_value *config = o->meta->config;
    int64_t size[3] = {0}, count = 0;

    if (!o->config.num_classes)
        FV_TRY(fv_value_get_int(config, "num_classes", 0, INT32_MAX, &o->config.num_classes));
    if (!o->config.img_size && !fv_value_find(o->config.kwargs, "img_size")) {
        FV_TRY(fv_value_get_ints(o->pretrained, "input_size", 1, 16384, 3, size, &count));
        if (count == 3 && size[1] == size[2]) o->config.img_size = size[1];
    }
    return o->config.num_classes ? FV_OK : count_classes(o);
}

/* What is asked for goes over what the file says, key by key. */
static fv_status choose_group(opening *o, const char *key, const fv_value **group) {
    const fv_value *asked = *group, *stored = fv_value_find(o->meta->config, key);

    if (!asked || !asked->count) {
        *group = stored;
        return FV_OK;
    }
    o->of_file = false;
    if (!stored || stored->kind != FV_VALUE_MAP) return FV_OK;
    fv_value *both = fv_value_copy(&o->meta->arena, stored);
    *group = both;
    return both ? fv_value_merge(&o->meta->arena, both, asked) : FV_ERR_NOMEM;
}

static fv_status choose(opening *o) {
    const fv_model_config *asked = &o->config;

    o->of_file = o->meta->config && !asked->name && !asked->img_size && !asked->num_classes;
    FV_TRY(choose_group(o, "model_args", &o->config.kwargs));
    FV_TRY(choose_group(o, "attention", &o->config.attention));
    FV_TRY(choose_group(o, "pool", &o->config.pool));
    FV_TRY(choose_group(o, "pos", &o->config.pos));
    FV_TRY(choose_name(o));
    return choose_sizes(o);
}

/* ---- pixels and class names ---- */

static fv_status read_channels(const fv_value *map, const char *key, const char *path,
                               float out[3]) {
    const fv_value *list = fv_value_find(map, key);

    if (!list || list->kind == FV_VALUE_NULL) return FV_OK;
    if (list->kind != FV_VALUE_LIST || list->count != 3)
        return FV_FAIL(FV_ERR_FORMAT, "%s: %s is not a list of three numbers", path, key);
    for (int c = 0; c < 3; c++) {
        const fv_value *v = fv_value_at(list, c);
        if (v->kind != FV_VALUE_REAL && v->kind != FV_VALUE_INT)
            return FV_FAIL(FV_ERR_FORMAT, "%s: %s is not a list of three numbers", path, key);
        out[c] = (float)v->real;
    }
    return FV_OK;
}

static fv_status read_input(const opening *o, fv_model *model) {
    fv_value *map = o->pretrained;
    const char *path = o->meta->files.config, *interpolation = NULL;
    fv_model_input *in = &model->input;

    if (!map) return FV_OK;
    FV_TRY(read_channels(map, "mean", path, in->mean));
    FV_TRY(read_channels(map, "std", path, in->std));
    for (int c = 0; c < 3; c++)
        if (!(in->std[c] > 0.0f)) return FV_FAIL(FV_ERR_FORMAT, "%s: std is not positive", path);
    FV_TRY(fv_value_get_real(map, "crop_pct", 1e-3, 1.0, &in->crop_pct));
    FV_TRY(fv_value_get_string(map, "interpolation", &interpolation));
    if (!interpolation) return FV_OK;
    if (strcmp(interpolation, "bicubic") != 0 && strcmp(interpolation, "bilinear") != 0)
        return FV_FAIL(FV_ERR_UNSUPPORTED, "%s: interpolation '%s' is neither bicubic nor bilinear",
                       path, interpolation);
    in->interpolation = fv_arena_strdup(&model->arena, interpolation);
    return in->interpolation ? FV_OK : FV_ERR_NOMEM;
}

static fv_status read_labels(opening *o, const fv_model *model) {
    fv_model_meta *meta = o->meta;
    const fv_value *list = fv_value_find(meta->config, "label_names");

    if (!list || list->kind != FV_VALUE_LIST || !list->count) return FV_OK;
    if (list->count != model->num_classes)
        return FV_FAIL(FV_ERR_FORMAT, "%s: %" PRId64 " label_names for %" PRId64 " classes",
                       meta->files.config, list->count, model->num_classes);
    const char **names = fv_arena_alloc(&meta->arena, (size_t)list->count, sizeof *names);
    if (!names) return FV_ERR_NOMEM;
    for (const fv_value *v = list->first; v; v = v->next) {
        if (v->kind != FV_VALUE_STRING)
            return FV_FAIL(FV_ERR_FORMAT, "%s: label_names are not all strings",
                           meta->files.config);
        names[meta->n_labels++] = v->text;
    }
    meta->label_names = names;
    return FV_OK;
}

static fv_status open_model(opening *o, const char *path, bool want_grad, fv_model **out) {
    fv_model_meta *meta = o->meta;

    FV_TRY(fv_checkpoint_resolve(path, &meta->arena, &meta->files));
    meta->weights = o->overrides->use_ema ? meta->files.ema : meta->files.weights;
    if (!meta->weights)
        return FV_FAIL(FV_ERR_NOT_FOUND, "%s: no averaged weights (" FV_CHECKPOINT_EMA ")", path);
    FV_TRY(fv_safetensors_open(meta->weights, &o->st));
    FV_TRY(read_config(o));
    fv_status status = choose(o);
    if (status == FV_OK) status = fv_model_create(&o->config, want_grad, out);
    if (status == FV_OK) status = read_input(o, *out);
    if (status == FV_ERR_CONFIG && o->of_file) { /* the file's fault, not the caller's */
        const char *file = meta->files.config;
        const bool placed = strncmp(fv_error_message(), file, strlen(file)) == 0;
        status = placed ? FV_ERR_FORMAT : fv_error_context(FV_ERR_FORMAT, "%s", file);
    }
    if (status == FV_OK) status = read_labels(o, *out);
    if (status == FV_OK)
        status = fv_model_load_values(*out, o->st, FV_HEAD_FITS, o->overrides->report);
    return status;
}

fv_status fv_model_open(const char *path, const fv_model_overrides *overrides, bool want_grad,
                        fv_model **out, fv_model_meta *meta) {
    static const fv_model_overrides none;
    opening o = {.overrides = overrides ? overrides : &none, .meta = meta};
    fv_model *model = NULL;

    *out = NULL;
    *meta = (fv_model_meta){0};
    o.config = o.overrides->config;
    const fv_status status = open_model(&o, path, want_grad, &model);
    fv_safetensors_close(o.st);
    if (status != FV_OK) {
        fv_model_destroy(model);
        fv_model_meta_destroy(meta);
        return status;
    }
    *out = model;
    return FV_OK;
}

void fv_model_meta_destroy(fv_model_meta *meta) {
    fv_arena_destroy(&meta->arena);
    *meta = (fv_model_meta){0};
}
