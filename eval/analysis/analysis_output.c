/* analysis_output.c - the results of an analysis as a value and as tensors. */
#include "core/json.h"
#include "core/safetensors.h"
#include "eval/analysis/analysis.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

/* ---- the value ---- */

static fv_value *number(fv_arena *arena, double v) {
    return isfinite(v) ? fv_value_real(arena, v) : fv_value_new(arena, FV_VALUE_NULL);
}

static fv_value *moments(fv_arena *arena, const fv_moments *m) {
    if (!m->n) return fv_value_new(arena, FV_VALUE_NULL);
    fv_value *map = fv_value_new(arena, FV_VALUE_MAP);
    fv_value_set(arena, map, "mean", number(arena, m->mean));
    fv_value_set(arena, map, "se", number(arena, fv_moments_se(m)));
    return map;
}

static fv_value *means(fv_arena *arena, const fv_moments *m, int64_t n) {
    if (!m) return fv_value_new(arena, FV_VALUE_NULL);
    fv_value *list = fv_value_new(arena, FV_VALUE_LIST);
    for (int64_t i = 0; i < n; i++) fv_value_add(list, number(arena, m[i].mean));
    return list;
}

/* Without prefix tokens there is no number for attention to them. */
static bool has_number(const fv_analysis_layer *layer, int i) {
    if (layer->layout.kind == FV_ATTENTION_CHANNEL) return false;
    return layer->layout.n_prefix > 0 || (i != FV_HEAD_to_cls && i != FV_HEAD_to_prefix);
}

static fv_value *describe_head(const fv_analysis_layer *layer, int64_t h, fv_arena *arena) {
    const fv_analysis_head *head = &layer->head[h];
    fv_value *map = fv_value_new(arena, FV_VALUE_MAP);

    fv_value_set(arena, map, "layer", fv_value_string(arena, layer->path));
    fv_value_set(arena, map, "head", fv_value_int(arena, h));
    fv_value_set(arena, map, "kind",
                 fv_value_string(arena, fv_attention_kind_name(layer->layout.kind)));
    for (int i = 0; i < FV_IMPORTANCE_COUNT; i++)
        fv_value_set(arena, map, fv_head_importance_names[i], moments(arena, &head->importance[i]));
    fv_value_set(arena, map, "accuracy_drop", number(arena, head->accuracy_drop));
    for (int i = 0; i < FV_HEAD_PROFILE_COUNT; i++)
        fv_value_set(arena, map, fv_head_profile_names[i],
                     has_number(layer, i) ? moments(arena, &head->profile[i])
                                          : fv_value_new(arena, FV_VALUE_NULL));
    fv_value_set(arena, map, "sink_at",
                 head->received ? fv_value_int(arena, head->sink_at)
                                : fv_value_new(arena, FV_VALUE_NULL));
    fv_value_set(arena, map, "ring_sum", means(arena, head->ring_sum, layer->profile.n_rings));
    fv_value_set(arena, map, "ring_mean", means(arena, head->ring_mean, layer->profile.n_rings));
    return map;
}

/* Numbers of a layer are the means of its heads. */
static fv_value *describe_layer(const fv_analysis_layer *layer, fv_arena *arena) {
    const fv_attention_layout *l = &layer->layout;
    fv_value *map = fv_value_new(arena, FV_VALUE_MAP), *size = fv_value_new(arena, FV_VALUE_LIST);

    fv_value_add(size, fv_value_int(arena, l->H));
    fv_value_add(size, fv_value_int(arena, l->W));
    fv_value_set(arena, map, "name", fv_value_string(arena, layer->path));
    fv_value_set(arena, map, "kind", fv_value_string(arena, fv_attention_kind_name(l->kind)));
    fv_value_set(arena, map, "heads", fv_value_int(arena, l->heads));
    fv_value_set(arena, map, "map", size);
    fv_value_set(arena, map, "prefix_tokens", fv_value_int(arena, l->n_prefix));
    for (int i = 0; i < FV_ANALYSIS_METRICS; i++) {
        double sum = 0.0;
        for (int64_t h = 0; h < l->heads; h++) sum += fv_analysis_metric(&layer->head[h], i);
        fv_value_set(arena, map, fv_analysis_metric_name(i), number(arena, sum / (double)l->heads));
    }
    for (int i = 0; i < FV_HEAD_PROFILE_COUNT; i++) {
        double sum = has_number(layer, i) ? 0.0 : (double)NAN;
        for (int64_t h = 0; h < l->heads; h++) sum += layer->head[h].profile[i].mean;
        fv_value_set(arena, map, fv_head_profile_names[i], number(arena, sum / (double)l->heads));
    }
    return map;
}

static fv_value *matrix(fv_arena *arena, const double *v, int64_t n) {
    fv_value *rows = fv_value_new(arena, FV_VALUE_LIST);

    for (int64_t i = 0; i < n; i++) {
        fv_value *row = fv_value_new(arena, FV_VALUE_LIST);
        for (int64_t j = 0; j < n; j++) fv_value_add(row, number(arena, v[i * n + j]));
        fv_value_add(rows, row);
    }
    return rows;
}

static fv_value *metric_names(fv_arena *arena) {
    fv_value *list = fv_value_new(arena, FV_VALUE_LIST);
    for (int i = 0; i < FV_ANALYSIS_METRICS; i++)
        fv_value_add(list, fv_value_string(arena, fv_analysis_metric_name(i)));
    return list;
}

static void describe_matrices(const fv_analysis *a, fv_arena *arena, fv_value *map) {
    fv_value *similarity = fv_value_new(arena, FV_VALUE_MAP),
             *ranks = fv_value_new(arena, FV_VALUE_MAP),
             *names = fv_value_new(arena, FV_VALUE_LIST);

    for (int f = 0; f < a->model->n_features; f++)
        fv_value_add(names, fv_value_string(arena, a->model->feature_names[f]));
    fv_value_set(arena, similarity, "names", names);
    fv_value_set(arena, similarity, "images", fv_value_int(arena, a->n_kept));
    fv_value_set(arena, similarity, "cka", matrix(arena, a->similarity, a->model->n_features));
    fv_value_set(arena, ranks, "names", metric_names(arena));
    fv_value_set(arena, ranks, "spearman",
                 matrix(arena, &a->rank_correlation[0][0], FV_ANALYSIS_METRICS));
    fv_value_set(arena, map, "similarity", similarity);
    fv_value_set(arena, map, "rank_correlation", ranks);
}

void fv_analysis_describe(const fv_analysis *a, fv_arena *arena, fv_value *map) {
    fv_value *layers = fv_value_new(arena, FV_VALUE_LIST),
             *heads = fv_value_new(arena, FV_VALUE_LIST);

    for (int64_t l = 0; l < a->n_layers; l++) {
        fv_value_add(layers, describe_layer(&a->layers[l], arena));
        for (int64_t h = 0; h < a->layers[l].layout.heads; h++)
            fv_value_add(heads, describe_head(&a->layers[l], h, arena));
    }
    fv_value_set(arena, map, "layers", layers);
    fv_value_set(arena, map, "heads", heads);
    describe_matrices(a, arena, map);
}

/* ---- tensors ---- */

typedef struct tensors {
    fv_arena *arena;
    fv_safetensors_item *item;
    int64_t n;
} tensors;

/* A new tensor to be filled; NULL when memory runs out. */
static float *add(tensors *t, const char *name, fv_shape shape) {
    float *data = fv_arena_alloc(t->arena, (size_t)fv_shape_numel(&shape) + 1, sizeof *data);

    if (data && name) t->item[t->n++] = (fv_safetensors_item){name, {data, FV_F32, shape}};
    return name ? data : NULL;
}

static fv_status add_heads(const fv_analysis *a, tensors *t) {
    const int64_t n = a->n_heads, I = FV_IMPORTANCE_COUNT, P = FV_HEAD_PROFILE_COUNT;
    float *mean = add(t, "importance.mean", fv_shape_of(2, n, I));
    float *se = add(t, "importance.se", fv_shape_of(2, n, I));
    float *drop = add(t, "accuracy_drop", fv_shape_of(1, n));
    float *profile = add(t, "profile.mean", fv_shape_of(2, n, P));
    float *profile_se = add(t, "profile.se", fv_shape_of(2, n, P));
    int64_t at = 0;

    if (!mean || !se || !drop || !profile || !profile_se) return FV_ERR_NOMEM;
    for (int64_t l = 0; l < a->n_layers; l++)
        for (int64_t h = 0; h < a->layers[l].layout.heads; h++, at++) {
            const fv_analysis_head *head = &a->layers[l].head[h];
            for (int i = 0; i < I; i++) {
                mean[at * I + i] = (float)head->importance[i].mean;
                se[at * I + i] = (float)fv_moments_se(&head->importance[i]);
            }
            drop[at] = (float)head->accuracy_drop;
            for (int i = 0; i < P; i++) {
                const bool has = has_number(&a->layers[l], i);
                profile[at * P + i] = has ? (float)head->profile[i].mean : NAN;
                profile_se[at * P + i] = has ? (float)fv_moments_se(&head->profile[i]) : NAN;
            }
        }
    return FV_OK;
}

static void copy_means(float *to, int64_t head, const fv_moments *from, int64_t n) {
    for (int64_t i = 0; i < n; i++) to[head * n + i] = (float)from[i].mean;
}

static fv_status add_layer(const fv_analysis_layer *l, tensors *t) {
    const int64_t h = l->layout.heads, R = l->profile.n_rings;
    const int64_t oh = l->profile.offset_h, ow = l->profile.offset_w;
    float *sum = add(t, fv_arena_printf(t->arena, "ring_sum.%s", l->path), fv_shape_of(2, h, R));
    float *mean = add(t, fv_arena_printf(t->arena, "ring_mean.%s", l->path), fv_shape_of(2, h, R));
    float *offset =
        add(t, fv_arena_printf(t->arena, "offset.%s", l->path), fv_shape_of(3, h, oh, ow));
    float *received =
        add(t, fv_arena_printf(t->arena, "received.%s", l->path), fv_shape_of(2, h, l->n_keys));

    if (!sum || !mean || !offset || !received) return FV_ERR_NOMEM;
    for (int64_t i = 0; i < h; i++) {
        copy_means(sum, i, l->head[i].ring_sum, R);
        copy_means(mean, i, l->head[i].ring_mean, R);
        copy_means(offset, i, l->head[i].offset, oh * ow);
        copy_means(received, i, l->head[i].received, l->n_keys);
    }
    return FV_OK;
}

static fv_status add_matrix(tensors *t, const char *name, const double *v, int64_t n) {
    float *to = add(t, name, fv_shape_of(2, n, n));

    if (!to) return FV_ERR_NOMEM;
    for (int64_t i = 0; i < n * n; i++) to[i] = (float)v[i];
    return FV_OK;
}

/* "blocks.0.attn:0" ... in the order of rows of tensors over heads. */
static fv_value *head_names(const fv_analysis *a, fv_arena *arena) {
    fv_value *list = fv_value_new(arena, FV_VALUE_LIST);
    for (int64_t l = 0; l < a->n_layers; l++)
        for (int64_t h = 0; h < a->layers[l].layout.heads; h++) {
            const char *name = fv_arena_printf(arena, "%s:%" PRId64, a->layers[l].path, h);
            fv_value_add(list, name ? fv_value_string(arena, name) : NULL);
        }
    return list;
}

static fv_status save(const fv_analysis *a, const char *checkpoint, const char *path,
                      fv_arena *arena) {
    tensors t = {.arena = arena};
    char *heads = NULL, *metrics = NULL, count[24];

    t.item = fv_arena_calloc(arena, (size_t)(7 + 4 * a->n_layers), sizeof *t.item);
    if (!t.item) return FV_ERR_NOMEM;
    FV_TRY(add_heads(a, &t));
    FV_TRY(add_matrix(&t, "cka", a->similarity, a->model->n_features));
    FV_TRY(add_matrix(&t, "rank_correlation", &a->rank_correlation[0][0], FV_ANALYSIS_METRICS));
    for (int64_t l = 0; l < a->n_layers; l++)
        if (a->layers[l].layout.kind != FV_ATTENTION_CHANNEL) FV_TRY(add_layer(&a->layers[l], &t));
    FV_TRY(fv_json_write(head_names(a, arena), FV_JSON_COMPACT, arena, &heads));
    FV_TRY(fv_json_write(metric_names(arena), FV_JSON_COMPACT, arena, &metrics));
    snprintf(count, sizeof count, "%" PRId64, a->n_images);
    const fv_safetensors_meta meta[] = {{"model", a->model->name},
                                        {"checkpoint", checkpoint},
                                        {"count", count},
                                        {"heads", heads},
                                        {"metrics", metrics}};
    return fv_safetensors_save(path, t.item, t.n, meta, sizeof meta / sizeof *meta);
}

fv_status fv_analysis_save(const fv_analysis *a, const char *checkpoint, const char *path) {
    fv_arena arena = {0};
    const fv_status status = save(a, checkpoint, path, &arena);
    fv_arena_destroy(&arena);
    return status;
}
