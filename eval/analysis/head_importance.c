#include "eval/analysis/head_importance.h"

#include "eval/evaluate.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define FEATURES "pre_logits"

const char *const fv_head_importance_names[FV_IMPORTANCE_COUNT] = {
#define FV_X(name) #name,
    FV_HEAD_IMPORTANCE_LIST(FV_X)
#undef FV_X
};

int64_t fv_attention_record_heads(const fv_attention_record *record) {
    int64_t n = 0;
    for (int64_t i = 0; i < record->count; i++) n += record->item[i].heads;
    return n;
}

/* ---- one head's part of a tensor of weights ---- */

typedef struct part {
    int64_t blocks, heads, size; /* [blocks of a sample, heads, size] */
} part;

/* x has heads on the axis that its layer says; those of prefix queries on the first behind the sample. */
static part part_of(const fv_attention_matrix *a, const fv_var *x, bool prefix) {
    const bool inside =
        !prefix && (a->layout.kind == FV_ATTENTION_WINDOW || a->layout.kind == FV_ATTENTION_ROUTED);
    part p = {.blocks = inside ? x->shape.dim[1] : 1, .heads = a->heads, .size = 1};

    for (int i = inside ? 3 : 2; i < x->shape.rank; i++) p.size *= x->shape.dim[i];
    return p;
}

static float *block_at(const part *p, float *data, int64_t sample, int64_t block, int64_t head) {
    return data + ((sample * p->blocks + block) * p->heads + head) * p->size;
}

/* sum A dA */
static double product_sum(const fv_attention_matrix *a, const fv_var *x, bool prefix,
                          int64_t head) {
    double sum = 0.0;

    if (!x || !x->grad.data) return 0.0;
    const part p = part_of(a, x, prefix);
    for (int64_t block = 0; block < p.blocks; block++) {
        const float *w = block_at(&p, x->data, 0, block, head);
        const float *g = block_at(&p, x->grad.data, 0, block, head);
        for (int64_t i = 0; i < p.size; i++) sum += (double)w[i] * (double)g[i];
    }
    return sum;
}

/* ---- passes ---- */

static fv_var *forward(fv_head_probe *probe, const float *pixels, int64_t n, bool needs_grad) {
    const fv_model_input *in = &probe->model->input;
    const fv_tensor images = {(void *)(uintptr_t)pixels, FV_F32,
                              fv_shape_of(4, n, in->height, in->width, (int64_t)3)};

    fv_tape_begin(probe->tape, &(fv_step){.mode = FV_EXPLAIN, .samples = n, .chunk_samples = 1});
    return fv_keep(fv_model_forward(probe->model, fv_input(probe->tape, &images, needs_grad)));
}

static fv_status watch(fv_head_probe *probe, const char *const *extra) {
    fv_tape_clear_watches(probe->tape);
    FV_TRY(fv_attention_watch(probe->tape, FV_WATCH_VALUE | FV_WATCH_GRAD | FV_WATCH_EDIT));
    FV_TRY(fv_tape_watch(probe->tape, FEATURES, FV_WATCH_VALUE));
    for (; extra && *extra; extra++) FV_TRY(fv_tape_watch(probe->tape, *extra, FV_WATCH_VALUE));
    return FV_OK;
}

fv_status fv_head_probe_record(fv_head_probe *probe, const float *pixels,
                               const char *const *extra) {
    fv_arena_rewind(probe->arena, probe->mark);
    probe->pixels = pixels;
    FV_TRY(watch(probe, extra));
    probe->logits = forward(probe, pixels, 1, true);
    FV_TRY(fv_tape_status(probe->tape));
    return fv_attention_record_read(probe->tape, probe->arena, &probe->record);
}

/* ---- leaving heads out ---- */

typedef struct masks {
    const fv_attention_record *record;
    const int64_t *layer, *head; /* [n] */
    int64_t n;
} masks;

/* Zeros the weights of the masked heads of the samples whose mask is in this layer. */
static void edit(fv_var *x, const char *name, void *user) {
    const masks *m = user;

    for (int64_t i = 0; i < m->n; i++) {
        if (m->layer[i] < 0) continue;
        const fv_attention_matrix *a = &m->record->item[m->layer[i]];
        const bool own = strcmp(name, a->weights_name) == 0;
        if (!own && (!a->prefix_name || strcmp(name, a->prefix_name) != 0)) continue;
        const part p = part_of(a, x, !own);
        for (int64_t block = 0; block < p.blocks; block++)
            memset(block_at(&p, x->data, i, block, m->head[i]), 0, (size_t)p.size * sizeof(float));
    }
}

static int64_t feature_size(const fv_head_probe *probe) {
    const fv_var *v = fv_tape_find(probe->tape, FEATURES);
    return v ? fv_shape_numel(&v->shape) / v->shape.dim[0] : 0;
}

fv_status fv_head_probe_without(fv_head_probe *probe, const int64_t *layer, const int64_t *head,
                                int64_t n, float *logits, float *features) {
    const fv_model_input *in = &probe->model->input;
    const size_t image = (size_t)(in->height * in->width * 3);
    masks m = {&probe->record, layer, head, n};
    const fv_arena_mark mark = fv_arena_get_mark(probe->arena);
    float *copies = fv_arena_alloc(probe->arena, (size_t)n * image, sizeof *copies);

    if (!copies) return FV_ERR_NOMEM;
    for (int64_t i = 0; i < n; i++)
        memcpy(copies + (size_t)i * image, probe->pixels, image * sizeof *copies);
    fv_tape_set_edit(probe->tape, edit, &m);
    const fv_var *y = forward(probe, copies, n, false);
    fv_tape_set_edit(probe->tape, NULL, NULL);
    fv_arena_rewind(probe->arena, mark);
    FV_TRY(fv_tape_status(probe->tape));
    memcpy(logits, y->data, (size_t)(n * probe->model->num_classes) * sizeof *logits);
    const fv_var *v = features ? fv_tape_find(probe->tape, FEATURES) : NULL;
    if (v) memcpy(features, v->data, (size_t)fv_shape_numel(&v->shape) * sizeof *features);
    return FV_OK;
}

/* ---- numbers ---- */

static void log_softmax(const float *z, int64_t K, double *out) {
    double largest = (double)z[0], sum = 0.0;

    for (int64_t k = 1; k < K; k++) largest = fmax(largest, (double)z[k]);
    for (int64_t k = 0; k < K; k++) sum += exp((double)z[k] - largest);
    for (int64_t k = 0; k < K; k++) out[k] = (double)z[k] - largest - log(sum);
}

static double cosine_distance(const float *a, const float *b, int64_t n) {
    double ab = 0.0, aa = 0.0, bb = 0.0;

    for (int64_t i = 0; i < n; i++) {
        ab += (double)a[i] * (double)b[i];
        aa += (double)a[i] * (double)a[i];
        bb += (double)b[i] * (double)b[i];
    }
    return aa > 0.0 && bb > 0.0 ? 1.0 - ab / sqrt(aa * bb) : 0.0;
}

/* Everything but cosine and gradient, from log p and log p'. */
static void compare(const double *p, const double *q, int64_t K, int64_t target,
                    fv_head_importance *out) {
    double kl = 0.0, js = 0.0;

    for (int64_t k = 0; k < K; k++) {
        const double a = exp(p[k]), b = exp(q[k]), middle = log(0.5 * (a + b));
        if (a > 0.0) kl += a * (p[k] - q[k]);
        if (a > 0.0) js += 0.5 * a * (p[k] - middle);
        if (b > 0.0) js += 0.5 * b * (q[k] - middle);
    }
    out->number[FV_IMPORTANCE_dprob] = exp(p[target]) - exp(q[target]);
    out->number[FV_IMPORTANCE_dloss] = p[target] - q[target];
    out->number[FV_IMPORTANCE_kl] = kl;
    out->number[FV_IMPORTANCE_js] = js;
}

/* The first-order estimate of every head; p: log softmax. */
static fv_status estimate(fv_head_probe *probe, const double *p, int64_t target,
                          fv_head_importance *out) {
    const int64_t K = probe->model->num_classes;
    float *dy = fv_arena_alloc(probe->arena, (size_t)K, sizeof *dy);

    if (!dy) return FV_ERR_NOMEM;
    for (int64_t k = 0; k < K; k++) dy[k] = (float)(exp(p[k]) - (k == target ? 1.0 : 0.0));
    FV_TRY(fv_tape_backward(probe->tape, probe->logits, dy));
    for (int64_t l = 0; l < probe->record.count; l++) {
        const fv_attention_matrix *a = &probe->record.item[l];
        for (int64_t head = 0; head < a->heads; head++)
            (out++)->number[FV_IMPORTANCE_gradient] = fabs(product_sum(a, a->weights, false, head) +
                                                           product_sum(a, a->prefix, true, head));
    }
    return FV_OK;
}

/* Room for one image, in the probe's arena. */
typedef struct space {
    int64_t K, D;
    double *p, *q;            /* [K] */
    float *feature;           /* [D] of the whole network */
    float *logits, *features; /* [max_images,K], [max_images,D] */
    int64_t *layer, *head;    /* [all heads] */
} space;

static fv_status make_space(const fv_head_probe *probe, int64_t heads, space *s) {
    const size_t n = (size_t)probe->max_images;
    fv_arena *arena = probe->arena;

    *s = (space){.K = probe->model->num_classes, .D = feature_size(probe)};
    s->p = fv_arena_alloc(arena, (size_t)s->K, sizeof *s->p);
    s->q = fv_arena_alloc(arena, (size_t)s->K, sizeof *s->q);
    s->feature = fv_arena_calloc(arena, (size_t)s->D + 1, sizeof *s->feature);
    s->logits = fv_arena_alloc(arena, n * (size_t)s->K, sizeof *s->logits);
    s->features = fv_arena_calloc(arena, n * (size_t)s->D + 1, sizeof *s->features);
    s->layer = fv_arena_alloc(arena, (size_t)heads + 1, sizeof *s->layer);
    s->head = fv_arena_alloc(arena, (size_t)heads + 1, sizeof *s->head);
    if (!s->p || !s->q || !s->feature || !s->logits || !s->features || !s->layer || !s->head)
        return FV_ERR_NOMEM;
    int64_t at = 0;
    for (int64_t l = 0; l < probe->record.count; l++)
        for (int64_t h = 0; h < probe->record.item[l].heads; h++, at++) {
            s->layer[at] = l;
            s->head[at] = h;
        }
    const fv_var *v = fv_tape_find(probe->tape, FEATURES);
    if (v) memcpy(s->feature, v->data, (size_t)s->D * sizeof *s->feature);
    return FV_OK;
}

fv_status fv_head_importance_of(fv_head_probe *probe, int64_t target, fv_head_importance *out,
                                bool *right) {
    const int64_t heads = fv_attention_record_heads(&probe->record);
    space s;

    FV_TRY(make_space(probe, heads, &s));
    const float *whole = probe->logits->data;
    *right = fv_label_rank(whole, s.K, (int32_t)target) == 0;
    log_softmax(whole, s.K, s.p);
    FV_TRY(estimate(probe, s.p, target, out));
    for (int64_t first = 0; first < heads; first += probe->max_images) {
        const int64_t n = heads - first < probe->max_images ? heads - first : probe->max_images;
        FV_TRY(
            fv_head_probe_without(probe, s.layer + first, s.head + first, n, s.logits, s.features));
        for (int64_t i = 0; i < n; i++) {
            const float *z = s.logits + i * s.K;
            fv_head_importance *of = &out[first + i];
            log_softmax(z, s.K, s.q);
            compare(s.p, s.q, s.K, target, of);
            of->number[FV_IMPORTANCE_cosine] =
                cosine_distance(s.feature, s.features + i * s.D, s.D);
            of->right = fv_label_rank(z, s.K, (int32_t)target) == 0;
        }
    }
    return FV_OK;
}
