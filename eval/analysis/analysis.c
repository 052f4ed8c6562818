#include "eval/analysis/analysis.h"

#include "core/alloc.h"
#include "eval/correlation.h"

#include <math.h>
#include <string.h>

#define MAX_BATCH 8

/* ---- life ---- */

static fv_status create_parts(fv_analysis *a, int64_t max_images) {
    const size_t n = (size_t)a->model->n_features + 1;

    a->max_kept = max_images < FV_SIMILARITY_IMAGES ? max_images : FV_SIMILARITY_IMAGES;
    a->features = fv_arena_calloc(&a->arena, n, sizeof *a->features);
    a->width = fv_arena_calloc(&a->arena, n, sizeof *a->width);
    a->similarity = fv_arena_calloc(&a->arena, n * n, sizeof *a->similarity);
    a->watched = fv_arena_calloc(&a->arena, n, sizeof *a->watched);
    if (!a->watched || !a->features || !a->width || !a->similarity) return FV_ERR_NOMEM;
    for (int f = 0; f < a->model->n_features; f++) a->watched[f] = a->model->feature_names[f];
    return fv_tape_create(&a->tape);
}

fv_status fv_analysis_create(const fv_model *model, int64_t max_images, int64_t max_batch,
                             fv_analysis **out) {
    fv_analysis *a = fv_calloc(1, sizeof *a);

    *out = NULL;
    if (!a) return FV_ERR_NOMEM;
    a->model = model;
    const fv_status status = create_parts(a, max_images);
    if (status != FV_OK) {
        fv_analysis_destroy(a);
        return status;
    }
    a->probe = (fv_head_probe){.tape = a->tape,
                               .model = model,
                               .max_images = max_batch > 0 ? max_batch : MAX_BATCH,
                               .arena = &a->image_arena};
    *out = a;
    return FV_OK;
}

void fv_analysis_destroy(fv_analysis *a) {
    if (!a) return;
    fv_tape_destroy(a->tape);
    fv_arena_destroy(&a->arena);
    fv_arena_destroy(&a->image_arena);
    fv_free(a);
}

static fv_status open_head(fv_analysis *a, const fv_analysis_layer *layer, fv_analysis_head *h) {
    const size_t rings = (size_t)layer->profile.n_rings;
    const size_t offsets = (size_t)(layer->profile.offset_h * layer->profile.offset_w);

    h->ring_sum = fv_arena_calloc(&a->arena, rings, sizeof *h->ring_sum);
    h->ring_mean = fv_arena_calloc(&a->arena, rings, sizeof *h->ring_mean);
    h->offset = fv_arena_calloc(&a->arena, offsets, sizeof *h->offset);
    h->received = fv_arena_calloc(&a->arena, (size_t)layer->n_keys, sizeof *h->received);
    return h->ring_sum && h->ring_mean && h->offset && h->received ? FV_OK : FV_ERR_NOMEM;
}

static fv_status open_layer(fv_analysis *a, const fv_attention_matrix *m,
                            fv_analysis_layer *layer) {
    layer->path = fv_arena_strdup(&a->arena, m->path);
    layer->layout = m->layout;
    layer->n_keys = m->n_keys;
    layer->head = fv_arena_calloc(&a->arena, (size_t)m->heads, sizeof *layer->head);
    if (!layer->path || !layer->head) return FV_ERR_NOMEM;
    if (m->layout.kind == FV_ATTENTION_CHANNEL) return FV_OK;
    FV_TRY(fv_head_profile_init(&layer->profile, m, &a->arena));
    for (int64_t h = 0; h < m->heads; h++) FV_TRY(open_head(a, layer, &layer->head[h]));
    return FV_OK;
}

/* The first image shows what there is. */
static fv_status open_layers(fv_analysis *a) {
    const fv_attention_record *record = &a->probe.record;

    a->n_heads = fv_attention_record_heads(record);
    a->importance = fv_arena_calloc(&a->arena, (size_t)a->n_heads + 1, sizeof *a->importance);
    a->layers = fv_arena_calloc(&a->arena, (size_t)record->count + 1, sizeof *a->layers);
    if (!a->importance || !a->layers) return FV_ERR_NOMEM;
    for (int64_t l = 0; l < record->count; l++)
        FV_TRY(open_layer(a, &record->item[l], &a->layers[l]));
    a->n_layers = record->count;
    return FV_OK;
}

/* ---- one image ---- */

static void add_profile(fv_analysis_layer *layer, const fv_attention_matrix *m, int64_t head) {
    fv_head_profile *p = &layer->profile;
    fv_analysis_head *h = &layer->head[head];

    fv_head_profile_of(m, 0, head, p);
    for (int i = 0; i < FV_HEAD_PROFILE_COUNT; i++) fv_moments_add(&h->profile[i], p->number[i]);
    for (int64_t k = 0; k < p->n_rings; k++) {
        fv_moments_add(&h->ring_sum[k], p->ring_sum[k]);
        fv_moments_add(&h->ring_mean[k], p->ring_mean[k]);
    }
    for (int64_t i = 0; i < p->offset_h * p->offset_w; i++)
        fv_moments_add(&h->offset[i], p->offset[i]);
    for (int64_t j = 0; j < layer->n_keys; j++) fv_moments_add(&h->received[j], p->column[j]);
}

/* The mean over positions of feature f of the recorded image. */
static fv_status keep_feature(fv_analysis *a, int f) {
    const fv_var *v = fv_tape_find(a->tape, a->model->feature_names[f]);

    if (!v || v->dtype != FV_F32)
        return FV_FAIL(FV_ERR_INTERNAL, "%s: no such feature", a->model->feature_names[f]);
    const int64_t C = fv_shape_last(&v->shape), rows = fv_shape_numel(&v->shape) / C;
    const float *x = v->data;
    if (!a->features[f]) {
        a->width[f] = C;
        a->features[f] =
            fv_arena_alloc(&a->arena, (size_t)(a->max_kept * C), sizeof *a->features[f]);
        if (!a->features[f]) return FV_ERR_NOMEM;
    }
    for (int64_t c = 0; c < C; c++) {
        double sum = 0.0;
        for (int64_t i = 0; i < rows; i++) sum += (double)x[i * C + c];
        a->features[f][a->n_kept * C + c] = (float)(sum / (double)rows);
    }
    return FV_OK;
}

static fv_status keep_features(fv_analysis *a) {
    if (a->n_kept >= a->max_kept) return FV_OK;
    for (int f = 0; f < a->model->n_features; f++) FV_TRY(keep_feature(a, f));
    a->n_kept++;
    return FV_OK;
}

static void add_importance(fv_analysis *a) {
    const fv_head_importance *from = a->importance;

    for (int64_t l = 0; l < a->n_layers; l++)
        for (int64_t h = 0; h < a->layers[l].layout.heads; h++, from++) {
            fv_analysis_head *to = &a->layers[l].head[h];
            for (int i = 0; i < FV_IMPORTANCE_COUNT; i++)
                fv_moments_add(&to->importance[i], from->number[i]);
            to->right += from->right;
        }
}

fv_status fv_analysis_add(fv_analysis *a, const float *pixels, int32_t label) {
    bool right;

    if (label < 0 || label >= a->model->num_classes)
        return FV_FAIL(FV_ERR_CONFIG, "class %d does not exist", (int)label);
    FV_TRY(fv_head_probe_record(&a->probe, pixels, a->watched));
    if (!a->layers) FV_TRY(open_layers(a));
    FV_TRY(keep_features(a));
    for (int64_t l = 0; l < a->n_layers; l++)
        for (int64_t h = 0;
             a->layers[l].layout.kind != FV_ATTENTION_CHANNEL && h < a->layers[l].layout.heads; h++)
            add_profile(&a->layers[l], &a->probe.record.item[l], h);
    FV_TRY(fv_head_importance_of(&a->probe, label, a->importance, &right));
    add_importance(a);
    a->n_images++;
    a->right += right;
    return FV_OK;
}

/* ---- all images ---- */

const char *fv_analysis_metric_name(int i) {
    return i < FV_IMPORTANCE_COUNT ? fv_head_importance_names[i] : "accuracy_drop";
}

double fv_analysis_metric(const fv_analysis_head *head, int i) {
    return i < FV_IMPORTANCE_COUNT ? head->importance[i].mean : head->accuracy_drop;
}

static void finish_heads(fv_analysis *a) {
    for (int64_t l = 0; l < a->n_layers; l++)
        for (int64_t h = 0; h < a->layers[l].layout.heads; h++) {
            fv_analysis_head *head = &a->layers[l].head[h];
            head->accuracy_drop = 100.0 * (double)(a->right - head->right) / (double)a->n_images;
            for (int64_t j = 0; head->received && j < a->layers[l].n_keys; j++)
                if (head->received[j].mean > head->received[head->sink_at].mean) head->sink_at = j;
        }
}

static fv_status correlate(fv_analysis *a, fv_arena *arena) {
    double *of[FV_ANALYSIS_METRICS];

    for (int i = 0; i < FV_ANALYSIS_METRICS; i++) {
        double *to = of[i] = fv_arena_alloc(arena, (size_t)a->n_heads + 1, sizeof *of[i]);
        if (!to) return FV_ERR_NOMEM;
        for (int64_t l = 0; l < a->n_layers; l++)
            for (int64_t h = 0; h < a->layers[l].layout.heads; h++)
                *to++ = fv_analysis_metric(&a->layers[l].head[h], i);
    }
    for (int i = 0; i < FV_ANALYSIS_METRICS; i++)
        for (int j = 0; j < FV_ANALYSIS_METRICS; j++)
            FV_TRY(fv_spearman(of[i], of[j], a->n_heads, &a->rank_correlation[i][j]));
    return FV_OK;
}

/* Products of the centred features of all pairs of images, [n,n]. */
static fv_status gram(fv_analysis *a, int f, fv_arena *arena, double **out) {
    const int64_t n = a->n_kept, C = a->width[f];
    double *x = fv_arena_alloc(arena, (size_t)(n * C), sizeof *x);
    double *g = *out = fv_arena_alloc(arena, (size_t)(n * n), sizeof *g);

    if (!x || !g) return FV_ERR_NOMEM;
    for (int64_t c = 0; c < C; c++) {
        double mean = 0.0;
        for (int64_t i = 0; i < n; i++) mean += (double)a->features[f][i * C + c];
        mean /= (double)n;
        for (int64_t i = 0; i < n; i++) x[i * C + c] = (double)a->features[f][i * C + c] - mean;
    }
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++) {
            double sum = 0.0;
            for (int64_t c = 0; c < C; c++) sum += x[i * C + c] * x[j * C + c];
            g[i * n + j] = sum;
        }
    return FV_OK;
}

static double inner(const double *a, const double *b, int64_t n) {
    double sum = 0.0;
    for (int64_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

static fv_status compare_layers(fv_analysis *a, fv_arena *arena) {
    const int64_t F = a->model->n_features, n = a->n_kept * a->n_kept;
    double **g = fv_arena_calloc(arena, (size_t)F + 1, sizeof *g);

    if (!g) return FV_ERR_NOMEM;
    for (int64_t f = 0; f < F; f++) FV_TRY(gram(a, (int)f, arena, &g[f]));
    for (int64_t i = 0; i < F; i++)
        for (int64_t j = 0; j < F; j++) {
            const double both = inner(g[i], g[i], n) * inner(g[j], g[j], n);
            a->similarity[i * F + j] = both > 0.0 ? inner(g[i], g[j], n) / sqrt(both) : (double)NAN;
        }
    return FV_OK;
}

fv_status fv_analysis_finish(fv_analysis *a) {
    fv_arena arena = {0};

    if (!a->n_images) return FV_FAIL(FV_ERR_FORMAT, "no image has been analysed");
    finish_heads(a);
    fv_status status = correlate(a, &arena);
    if (status == FV_OK) status = compare_layers(a, &arena);
    fv_arena_destroy(&arena);
    return status;
}
