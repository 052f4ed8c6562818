#include "eval/analysis/head_profile.h"

#include <math.h>
#include <string.h>

const char *const fv_head_profile_names[FV_HEAD_PROFILE_COUNT] = {
#define FV_X(name) #name,
    FV_HEAD_PROFILE_LIST(FV_X)
#undef FV_X
};

static int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

static int64_t stride_of(const fv_attention_matrix *a) {
    return a->layout.stride ? a->layout.stride : 1;
}

/* Queries on the map with a key at each offset: depends on the layer alone. */
static void count_offsets(const fv_attention_matrix *a, fv_head_profile *p) {
    const int64_t H = a->layout.H, W = a->layout.W, s = stride_of(a);

    for (int64_t q = 0; q < a->query_h * a->query_w; q++) {
        const int64_t y = q / a->query_w * s, x = q % a->query_w * s;
        for (int64_t i = 0; i < H; i++)
            for (int64_t j = 0; j < W; j++)
                p->count[(i - y + H - 1) * p->offset_w + j - x + W - 1]++;
    }
}

fv_status fv_head_profile_init(fv_head_profile *p, const fv_attention_matrix *a, fv_arena *arena) {
    const int64_t H = a->layout.H, W = a->layout.W;

    *p = (fv_head_profile){.n_rings = larger(H, W), .offset_h = 2 * H - 1, .offset_w = 2 * W - 1};
    const size_t offsets = (size_t)(p->offset_h * p->offset_w);
    p->ring_sum = fv_arena_alloc(arena, (size_t)p->n_rings, sizeof *p->ring_sum);
    p->ring_mean = fv_arena_alloc(arena, (size_t)p->n_rings, sizeof *p->ring_mean);
    p->with_ring = fv_arena_alloc(arena, (size_t)p->n_rings, sizeof *p->with_ring);
    p->offset = fv_arena_alloc(arena, offsets, sizeof *p->offset);
    p->column = fv_arena_alloc(arena, (size_t)a->n_keys, sizeof *p->column);
    p->count = fv_arena_calloc(arena, offsets, sizeof *p->count);
    if (!p->ring_sum || !p->ring_mean || !p->with_ring || !p->offset || !p->column || !p->count)
        return FV_ERR_NOMEM;
    count_offsets(a, p);
    return FV_OK;
}

/* Positions of an axis of n within distance k of i. */
static int64_t within(int64_t i, int64_t k, int64_t n) {
    return (i + k < n - 1 ? i + k : n - 1) - (i - k > 0 ? i - k : 0) + 1;
}

/* Positions of ring k around (y,x). */
static int64_t ring_size(const fv_attention_layout *l, int64_t y, int64_t x, int64_t k) {
    const int64_t all = within(y, k, l->H) * within(x, k, l->W);
    return k == 0 ? all : all - within(y, k - 1, l->H) * within(x, k - 1, l->W);
}

/* A query on the map. */
static void add_query(const fv_attention_matrix *a, const fv_attention_row *r, fv_head_profile *p) {
    const fv_attention_layout *l = &a->layout;
    const int64_t P = l->n_prefix, s = stride_of(a), q = r->query - P;
    const int64_t y = q / a->query_w * s, x = q % a->query_w * s;
    double mass = 0.0, moment = 0.0;

    for (int64_t j = 0; j < r->n; j++) {
        const double w = (double)r->weight[j];
        const int64_t key = r->key[j] - P;
        if (r->key[j] < 0) continue;
        if (key < 0) {
            p->number[FV_HEAD_to_prefix] += w;
            if (r->key[j] == 0) p->number[FV_HEAD_to_cls] += w;
            continue;
        }
        const int64_t dy = key / l->W - y, dx = key % l->W - x;
        const int64_t ring = larger(dy < 0 ? -dy : dy, dx < 0 ? -dx : dx);
        p->ring_sum[ring] += w;
        p->ring_mean[ring] += w / (double)ring_size(l, y, x, ring);
        p->offset[(dy + l->H - 1) * p->offset_w + dx + l->W - 1] += w;
        if (ring == 0) p->number[FV_HEAD_self] += w;
        mass += w;
        moment += w * sqrt((double)(dy * dy + dx * dx));
    }
    if (mass > 0.0) p->number[FV_HEAD_distance] += moment / mass;
    const int64_t last = larger(larger(y, l->H - 1 - y), larger(x, l->W - 1 - x));
    for (int64_t k = 0; k <= last; k++) p->with_ring[k] += 1.0;
}

/* Any row: entropy, and what each position gets. */
static void add_row(const fv_attention_row *r, fv_head_profile *p) {
    for (int64_t j = 0; j < r->n; j++) {
        const double w = (double)r->weight[j];
        if (w > 0.0) p->number[FV_HEAD_entropy] -= w * log(w);
        if (r->key[j] >= 0) p->column[r->key[j]] += w;
    }
}

static void finish(const fv_attention_matrix *a, fv_head_profile *p) {
    const double on_map = (double)(a->query_h * a->query_w), all = (double)a->n_queries;
    static const fv_head_profile_number of_map[] = {FV_HEAD_to_cls, FV_HEAD_to_prefix, FV_HEAD_self,
                                                    FV_HEAD_distance};

    for (size_t i = 0; i < sizeof of_map / sizeof *of_map; i++) p->number[of_map[i]] /= on_map;
    p->number[FV_HEAD_entropy] /= all;
    for (int64_t k = 0; k < p->n_rings; k++) {
        p->ring_sum[k] /= on_map;
        if (p->with_ring[k] > 0.0) p->ring_mean[k] /= p->with_ring[k];
    }
    for (int64_t i = 0; i < p->offset_h * p->offset_w; i++)
        if (p->count[i]) p->offset[i] /= (double)p->count[i];
    for (int64_t j = 0; j < a->n_keys; j++) {
        p->column[j] /= all;
        if (p->column[j] <= p->number[FV_HEAD_sink]) continue;
        p->number[FV_HEAD_sink] = p->column[j];
        p->sink_at = j;
    }
}

void fv_head_profile_of(const fv_attention_matrix *a, int64_t sample, int64_t head,
                        fv_head_profile *p) {
    memset(p->number, 0, sizeof p->number);
    memset(p->ring_sum, 0, (size_t)p->n_rings * sizeof *p->ring_sum);
    memset(p->ring_mean, 0, (size_t)p->n_rings * sizeof *p->ring_mean);
    memset(p->with_ring, 0, (size_t)p->n_rings * sizeof *p->with_ring);
    memset(p->offset, 0, (size_t)(p->offset_h * p->offset_w) * sizeof *p->offset);
    memset(p->column, 0, (size_t)a->n_keys * sizeof *p->column);
    p->sink_at = 0;
    for (int64_t row = 0; row < a->n_rows; row++) {
        const fv_attention_row r = fv_attention_row_at(a, sample, head, row);
        if (r.query < 0) continue;
        add_row(&r, p);
        if (r.query >= a->layout.n_prefix) add_query(a, &r, p);
    }
    finish(a, p);
}
