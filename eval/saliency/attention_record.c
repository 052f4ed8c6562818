#include "eval/saliency/attention_record.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* Names under a layer's path. */
#define WEIGHTS  "weights"
#define CHANNELS "channel_weights"
#define PREFIX   "prefix.weights"
#define ROUTING  "routing"

fv_status fv_attention_watch(fv_tape *tape, uint32_t what) {
    FV_TRY(fv_tape_watch(tape, "*." WEIGHTS, what)); /* those of the prefix too */
    FV_TRY(fv_tape_watch(tape, "*." CHANNELS, what));
    return what & FV_WATCH_VALUE ? fv_tape_watch(tape, "*." ROUTING, FV_WATCH_VALUE) : FV_OK;
}

/* ---- reading the tape ---- */

static const fv_var *find(const fv_tape *tape, const char *path, const char *name) {
    char text[512];

    snprintf(text, sizeof text, "%s.%s", path, name);
    return fv_tape_find(tape, text);
}

static int64_t stride_of(const fv_attention_layout *l) { return l->stride ? l->stride : 1; }

/* Queries of a unit: a window, block or region, or everything. */
static int64_t unit_queries(const fv_attention_matrix *a) {
    const fv_attention_layout *l = &a->layout;
    const int64_t s = stride_of(l);

    if (l->kind == FV_ATTENTION_GLOBAL) return a->n_keys;
    return l->rows / s * (l->cols / s);
}

static int64_t unit_keys(const fv_attention_matrix *a) {
    const fv_attention_layout *l = &a->layout;

    if (l->kind == FV_ATTENTION_GLOBAL) return a->n_keys;
    if (l->kind == FV_ATTENTION_HALO)
        return l->n_prefix + (l->rows + 2 * l->halo) * (l->cols + 2 * l->halo);
    const int64_t size = l->rows * l->cols;
    return l->n_prefix + (l->kind == FV_ATTENTION_ROUTED ? a->n_chosen * size : size);
}

/* Windows, blocks or regions of the padded map. */
static int64_t units_of(const fv_attention_matrix *a) {
    const fv_attention_layout *l = &a->layout;

    if (l->kind == FV_ATTENTION_GLOBAL) return 1;
    if (l->kind == FV_ATTENTION_ROUTED) return l->across * l->across;
    return (l->H + l->rows - 1) / l->rows * l->across;
}

static fv_status check(const fv_attention_matrix *a) {
    const fv_attention_layout *l = &a->layout;
    const int64_t B = a->B, h = a->heads, Q = unit_queries(a), K = unit_keys(a), u = units_of(a);
    const fv_shape *s = &a->weights->shape;
    fv_shape want = fv_shape_of(5, B, u, h, Q, K);
    char text[FV_SHAPE_TEXT], wanted[FV_SHAPE_TEXT];

    if (l->kind == FV_ATTENTION_GLOBAL) want = fv_shape_of(4, B, h, Q, K);
    if (l->kind == FV_ATTENTION_HALO) want = fv_shape_of(5, B, h, u, Q, K);
    if (!fv_shape_equal(s, &want) || a->weights->dtype != FV_F32)
        return FV_FAIL(FV_ERR_INTERNAL, "%s: weights %s, not %s", a->path, fv_shape_text(s, text),
                       fv_shape_text(&want, wanted));
    if (!a->prefix) return FV_OK;
    want = fv_shape_of(4, B, h, l->n_prefix, a->n_keys);
    if (fv_shape_equal(&a->prefix->shape, &want)) return FV_OK;
    return FV_FAIL(FV_ERR_INTERNAL, "%s: weights of the prefix %s, not %s", a->path,
                   fv_shape_text(&a->prefix->shape, text), fv_shape_text(&want, wanted));
}

static fv_status read_one(const fv_tape *tape, const fv_note *note, fv_arena *arena,
                          fv_attention_matrix *a) {
    const fv_attention_layout *l = note->data;
    const bool channel = l->kind == FV_ATTENTION_CHANNEL;

    *a = (fv_attention_matrix){.path = note->scope, .layout = *l, .heads = l->heads};
    a->weights = find(tape, a->path, channel ? CHANNELS : WEIGHTS);
    if (!a->weights)
        return FV_FAIL(FV_ERR_INTERNAL, "%s: no attention weights are recorded", a->path);
    a->weights_name = fv_arena_printf(arena, "%s.%s", a->path, channel ? CHANNELS : WEIGHTS);
    if (!a->weights_name) return FV_ERR_NOMEM;
    a->B = a->weights->shape.dim[0];
    if (channel) return FV_OK;
    a->query_h = l->H / stride_of(l);
    a->query_w = l->W / stride_of(l);
    a->n_queries = l->n_prefix + a->query_h * a->query_w;
    a->n_keys = l->n_prefix + l->H * l->W;
    if (l->kind == FV_ATTENTION_ROUTED) {
        const fv_var *routing = find(tape, a->path, ROUTING);
        if (!routing || routing->dtype != FV_I32 || routing->shape.rank != 3)
            return FV_FAIL(FV_ERR_INTERNAL, "%s: no choice of regions is recorded", a->path);
        a->routing = routing->data;
        a->n_chosen = routing->shape.dim[2];
    }
    if (l->n_prefix && l->kind != FV_ATTENTION_GLOBAL) {
        a->prefix = find(tape, a->path, PREFIX);
        a->prefix_name = fv_arena_printf(arena, "%s." PREFIX, a->path);
        if (!a->prefix_name) return FV_ERR_NOMEM;
        if (!a->prefix)
            return FV_FAIL(FV_ERR_INTERNAL, "%s: no weights of the prefix are recorded", a->path);
    }
    a->n_rows = units_of(a) * unit_queries(a) + (a->prefix ? l->n_prefix : 0);
    return check(a);
}

fv_status fv_attention_record_read(const fv_tape *tape, fv_arena *arena, fv_attention_record *out) {
    int64_t count = 0, longest = 0;

    *out = (fv_attention_record){0};
    for (const fv_note *n = fv_tape_notes(tape); n; n = n->next)
        count += strcmp(n->kind, FV_ATTENTION_NOTE) == 0;
    out->item = fv_arena_calloc(arena, (size_t)count + 1, sizeof *out->item);
    if (!out->item) return FV_ERR_NOMEM;
    for (const fv_note *n = fv_tape_notes(tape); n; n = n->next)
        if (strcmp(n->kind, FV_ATTENTION_NOTE) == 0)
            FV_TRY(read_one(tape, n, arena, &out->item[out->count++]));
    for (int64_t i = 0; i < out->count; i++) {
        const fv_attention_matrix *a = &out->item[i];
        if (longest < a->n_keys) longest = a->n_keys; /* of prefix rows */
        if (a->n_rows && longest < unit_keys(a)) longest = unit_keys(a);
    }
    int64_t *keys = fv_arena_alloc(arena, (size_t)longest + 1, sizeof *keys);
    if (!keys) return FV_ERR_NOMEM;
    for (int64_t i = 0; i < out->count; i++) out->item[i].keys = keys;
    return FV_OK;
}

bool fv_attention_is_square(const fv_attention_matrix *a) {
    return a->layout.kind != FV_ATTENTION_CHANNEL && stride_of(&a->layout) == 1;
}

/* ---- rows ---- */

/* Where pixel (y,x) of a map stands, -1 outside. */
static int64_t position(int64_t n_prefix, int64_t H, int64_t W, int64_t y, int64_t x) {
    return y < 0 || x < 0 || y >= H || x >= W ? -1 : n_prefix + y * W + x;
}

/* The same for position i of window, block or region u. */
static int64_t unit_position(const fv_attention_layout *l, int64_t u, int64_t i) {
    return position(l->n_prefix, l->H, l->W, u / l->across * l->rows + i / l->cols,
                    u % l->across * l->cols + i % l->cols);
}

static int64_t query_position(const fv_attention_matrix *a, int64_t u, int64_t i) {
    const fv_attention_layout *l = &a->layout;
    const int64_t s = stride_of(l), rows = l->rows / s, cols = l->cols / s;

    if (l->kind == FV_ATTENTION_GLOBAL) return i;
    return position(l->n_prefix, a->query_h, a->query_w, u / l->across * rows + i / cols,
                    u % l->across * cols + i % cols);
}

static void unit_key_positions(const fv_attention_matrix *a, int64_t sample, int64_t u) {
    const fv_attention_layout *l = &a->layout;
    const int64_t n = unit_keys(a), P = l->n_prefix, size = l->rows * l->cols;
    const int64_t wide = l->cols + 2 * l->halo;
    const int32_t *chosen =
        a->routing ? a->routing + (sample * units_of(a) + u) * a->n_chosen : NULL;

    for (int64_t j = 0; j < n; j++) {
        const int64_t i = j - P;
        if (j < P || l->kind == FV_ATTENTION_GLOBAL)
            a->keys[j] = j;
        else if (l->kind == FV_ATTENTION_HALO)
            a->keys[j] = position(P, l->H, l->W, u / l->across * l->rows - l->halo + i / wide,
                                  u % l->across * l->cols - l->halo + i % wide);
        else
            a->keys[j] = unit_position(l, chosen ? chosen[i / size] : u, i % size);
    }
}

static void prefix_key_positions(const fv_attention_matrix *a) {
    const fv_attention_layout *l = &a->layout;
    const int64_t size = l->rows * l->cols, P = l->n_prefix;

    for (int64_t j = 0; j < a->n_keys; j++)
        a->keys[j] =
            j < P || !l->prefix_packed ? j : unit_position(l, (j - P) / size, (j - P) % size);
}

static fv_attention_row row_in(const fv_attention_matrix *a, const fv_var *v, int64_t query,
                               int64_t row, int64_t n) {
    const float *weight = v->data, *grad = v->watch & FV_WATCH_GRAD ? v->grad.data : NULL;
    const float *relevance = v->watch & FV_WATCH_RELEVANCE ? v->relevance.data : NULL;
    return (fv_attention_row){query,
                              n,
                              a->keys,
                              weight + row * n,
                              grad ? grad + row * n : NULL,
                              relevance ? relevance + row * n : NULL};
}

fv_attention_row fv_attention_row_at(const fv_attention_matrix *a, int64_t sample, int64_t head,
                                     int64_t row) {
    const int64_t Q = unit_queries(a), units = units_of(a), h = a->heads;
    const int64_t u = row / Q, i = row % Q, P = a->layout.n_prefix;

    if (row >= units * Q) {
        const int64_t p = row - units * Q;
        prefix_key_positions(a);
        return row_in(a, a->prefix, p, (sample * h + head) * P + p, a->n_keys);
    }
    unit_key_positions(a, sample, u);
    const int64_t block = a->layout.kind == FV_ATTENTION_HALO ? (sample * h + head) * units + u
                                                              : (sample * units + u) * h + head;
    return row_in(a, a->weights, query_position(a, u, i), block * Q + i, unit_keys(a));
}

/* ---- matrices ---- */

static float value_of(const fv_attention_row *r, int64_t j, fv_attention_value value) {
    const float grad = r->grad ? r->grad[j] : 0.0f;

    if (value == FV_ATTENTION_WEIGHT) return r->weight[j];
    if (value == FV_ATTENTION_GRADIENT) return grad;
    if (value == FV_ATTENTION_RELEVANT)
        return r->relevance ? fmaxf(r->relevance[j] * grad, 0.0f) : 0.0f;
    return grad > 0.0f ? r->weight[j] * grad : 0.0f; /* weights are not negative */
}

static void add_rows(const fv_attention_matrix *a, int64_t sample, int64_t head,
                     fv_attention_value value, float *out) {
    for (int64_t row = 0; row < a->n_rows; row++) {
        const fv_attention_row r = fv_attention_row_at(a, sample, head, row);
        float *to = r.query >= 0 ? out + r.query * a->n_keys : out;
        for (int64_t j = 0; r.query >= 0 && j < r.n; j++)
            if (r.key[j] >= 0) to[r.key[j]] = value_of(&r, j, value);
    }
}

void fv_attention_dense(const fv_attention_matrix *a, int64_t sample, int64_t head,
                        fv_attention_value value, float *out) {
    memset(out, 0, (size_t)(a->n_queries * a->n_keys) * sizeof *out);
    add_rows(a, sample, head, value, out);
}

static float fuse_two(float a, float b, fv_attention_fuse fuse) {
    if (fuse == FV_ATTENTION_FUSE_max) return a > b ? a : b;
    if (fuse == FV_ATTENTION_FUSE_min) return a < b ? a : b;
    return a + b;
}

void fv_attention_fused(const fv_attention_matrix *a, int64_t sample, fv_attention_value value,
                        fv_attention_fuse fuse, float *scratch, float *out) {
    const int64_t n = a->n_queries * a->n_keys;

    fv_attention_dense(a, sample, 0, value, out);
    for (int64_t head = 1; head < a->heads; head++) {
        fv_attention_dense(a, sample, head, value, scratch);
        for (int64_t i = 0; i < n; i++) out[i] = fuse_two(out[i], scratch[i], fuse);
    }
    if (fuse != FV_ATTENTION_FUSE_mean) return;
    for (int64_t i = 0; i < n; i++) out[i] /= (float)a->heads;
}
