/* sr_search.c - the mean distance to the nearest patches, for every pixel.
 *
 * Squared distances come from products of query tiles and candidate chunks, |p|^2 + |q|^2 - 2 p q.
 * Where a map is flat that is rounding noise, so the products only preselect: with a rigorous bound on
 * their error every distance gets a lower and an upper bound, and no candidate whose lower bound
 * exceeds the k-th smallest upper bound can be among the k nearest.  (That bound itself is found
 * cheaply: candidate j lowers lane j mod n_lanes, and the k-th smallest lane is at least the k-th
 * smallest candidate.)  What is left, little more than k, is evaluated directly. */
#include "core/alloc.h"
#include "core/ops/gemm_tiles.h"
#include "core/parallel.h"
#include "eval/saliency/sr_stages.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

#define QUERIES   64  /* of a tile */
#define CHUNK     512 /* candidates of a product */
#define MIN_LANES 256
#define SUMS      16 /* independent ones of a distance */

typedef struct search {
    const fv_sr_patches *candidates;
    fv_sr_search_spec spec;
    fv_sr_image padded; /* [H+u-1,W+u-1,C] */
    int64_t H, W;       /* of the image */
    int64_t columns, n; /* queries in a row, and of all */
    int64_t k, n_lanes, low_stride;
    fv_gemm_tiles products;
    float slack;
    float *mean;
    atomic_int *failed;
} search;

/* What a task works with; the blocks lie in the thread's scratch. */
typedef struct bench {
    float *query;    /* [QUERIES,D] */
    float *dot;      /* [QUERIES,CHUNK] */
    float *low;      /* [QUERIES,low_stride] */
    float *lane;     /* [QUERIES,n_lanes] */
    float *d, *copy; /* [N] */
    int32_t *index;  /* [N+1] */
    fv_sr_bounds bounds[QUERIES];
} bench;

static size_t round_up(int64_t n) {
    return ((size_t)n * sizeof(float) + FV_ALIGN - 1) / FV_ALIGN * FV_ALIGN;
}

static size_t bench_bytes(const search *s) {
    const int64_t D = s->candidates->D, N = s->candidates->n;
    return round_up(QUERIES * D) + round_up(QUERIES * CHUNK) + round_up(QUERIES * s->low_stride) +
           round_up(QUERIES * s->n_lanes) + 2 * round_up(N) + round_up(N + 1);
}

static float *take(char **at, int64_t n) {
    float *block = (float *)(void *)*at;
    *at += round_up(n);
    return block;
}

static bool bench_open(const search *s, bench *b) {
    const int64_t D = s->candidates->D, N = s->candidates->n;
    char *at = fv_scratch(bench_bytes(s));

    if (!at) return false;
    b->query = take(&at, QUERIES * D);
    b->dot = take(&at, QUERIES * CHUNK);
    b->low = take(&at, QUERIES * s->low_stride);
    b->lane = take(&at, QUERIES * s->n_lanes);
    b->d = take(&at, N);
    b->copy = take(&at, N);
    b->index = (int32_t *)(void *)take(&at, N + 1);
    return true;
}

static void load_query(const search *s, int64_t i, float *to, fv_sr_bounds *bounds) {
    const int64_t u = s->spec.u, C = s->padded.C;
    const int64_t y = i / s->columns * s->spec.stride, x = i % s->columns * s->spec.stride;
    double sum = 0.0;

    for (int64_t r = 0; r < u; r++)
        memcpy(to + r * u * C, s->padded.data + ((y + r) * s->padded.W + x) * C,
               (size_t)(u * C) * sizeof *to);
    for (int64_t j = 0; j < s->candidates->D; j++) sum += (double)to[j] * (double)to[j];
    *bounds = (fv_sr_bounds){.norm = (float)sum,
                             .y = (float)(((double)y + 0.5) / (double)s->H * s->spec.frame.height),
                             .x = (float)(((double)x + 0.5) / (double)s->W * s->spec.frame.width),
                             .c = (float)s->spec.c,
                             .slack = s->slack};
}

static float squared_distance(const float *a, const float *b, int64_t n) {
    float lane[SUMS] = {0}, sum = 0.0f;
    int64_t i = 0;

    for (; i + SUMS <= n; i += SUMS)
        for (int j = 0; j < SUMS; j++) {
            const float t = a[i + j] - b[i + j];
            lane[j] += t * t;
        }
    for (; i < n; i++) sum += (a[i] - b[i]) * (a[i] - b[i]);
    for (int j = 0; j < SUMS; j++) sum += lane[j];
    return sum;
}

/* Mean of the k smallest d of query q of the tile, over the candidates left by screening. */
static double nearest_mean(const search *s, const bench *b, int64_t q) {
    const fv_sr_patches *candidates = s->candidates;
    const fv_sr_bounds *at = &b->bounds[q];
    const float *query = b->query + q * candidates->D;
    float *lane = b->lane + q * s->n_lanes;
    int64_t zeros = 0;

    /* The bounds' own rounding is relative and small beside the slack. */
    const float bound = fv_sr_bound(lane, s->n_lanes, s->k) * (1.0f + 2.0f * s->slack);
    const int64_t count = fv_sr_collect(b->low + q * s->low_stride, candidates->n, bound, b->index);
    for (int64_t i = 0; i < count; i++) {
        const int64_t j = b->index[i];
        const float square =
            squared_distance(query, candidates->value + j * candidates->D, candidates->D);
        const double dy = (double)at->y - (double)candidates->y[j];
        const double dx = (double)at->x - (double)candidates->x[j];
        b->d[i] = (float)(sqrt((double)square) / (1.0 + s->spec.c * sqrt(dy * dy + dx * dx)));
        zeros += square == 0.0f;
        if (zeros == s->k) return 0.0; /* a flat zone: nothing is nearer */
    }
    return fv_sr_mean_smallest(b->d, count, s->k, b->copy);
}

static void search_tile(int64_t task, void *arg) {
    const search *s = arg;
    const int64_t first = task * QUERIES, N = s->candidates->n, D = s->candidates->D;
    const int64_t m = s->n - first < QUERIES ? s->n - first : QUERIES;
    bench b;

    if (!bench_open(s, &b)) {
        atomic_store(s->failed, FV_ERR_NOMEM);
        return;
    }
    for (int64_t q = 0; q < m; q++) load_query(s, first + q, b.query + q * D, &b.bounds[q]);
    for (int64_t i = 0; i < m * s->n_lanes; i++) b.lane[i] = INFINITY;
    for (int64_t j = 0; j < N; j += CHUNK) {
        const int64_t n = N - j < CHUNK ? N - j : CHUNK;
        if (fv_gemm_tiles_run(&s->products, m, n, b.query, s->candidates->value + j * D, NULL,
                              b.dot) != FV_OK) {
            atomic_store(s->failed, FV_ERR_BACKEND);
            return;
        }
        for (int64_t q = 0; q < m; q++)
            fv_sr_screen(&b.bounds[q], s->candidates, j, n, b.dot + q * CHUNK,
                         b.low + q * s->low_stride + j, b.lane + q * s->n_lanes, s->n_lanes);
    }
    for (int64_t q = 0; q < m; q++) s->mean[first + q] = (float)nearest_mean(s, &b, q);
}

/* Products of D terms in any order err by at most D units of rounding times |p| |q|; a few more for the
 * norms and the bounds' arithmetic. */
static float slack_of(int64_t D) { return (float)(D + 16) * 0x1p-24f; }

static fv_status find_products(search *s) {
    const int64_t N = s->candidates->n, D = s->candidates->D;
    fv_gemm desc;

    memset(&desc, 0, sizeof desc);
    desc.m = QUERIES;
    desc.n = desc.ldc = CHUNK;
    desc.k = desc.lda = desc.ldb = D;
    desc.trans_b = 1;
    desc.ab = desc.c = FV_F32;
    return fv_gemm_tiles_find(&desc, s->n % QUERIES, N % CHUNK, &s->products);
}

fv_status fv_sr_search(const fv_sr_image *image, const fv_sr_patches *candidates,
                       const fv_sr_search_spec *spec, float *mean) {
    const int64_t rows = (image->H + spec->stride - 1) / spec->stride;
    atomic_int failed = FV_OK;
    search s = {.candidates = candidates,
                .spec = *spec,
                .H = image->H,
                .W = image->W,
                .columns = (image->W + spec->stride - 1) / spec->stride,
                .k = spec->k < candidates->n ? spec->k : candidates->n,
                .n_lanes = MIN_LANES,
                .slack = slack_of(candidates->D),
                .mean = mean,
                .failed = &failed};

    if (candidates->n < 1 || candidates->D != spec->u * spec->u * image->C ||
        candidates->n > INT32_MAX)
        return FV_FAIL(FV_ERR_SHAPE, "salient relevance: candidates do not fit the queries");
    s.n = rows * s.columns;
    /* Four lanes per neighbour: then hardly more than k candidates pass. */
    while (s.n_lanes < 4 * s.k) s.n_lanes *= 2;
    s.low_stride = (candidates->n + FV_ALIGN - 1) / FV_ALIGN * FV_ALIGN;
    FV_TRY(find_products(&s));
    FV_TRY(fv_scratch_reserve(bench_bytes(&s)));
    FV_TRY(fv_sr_pad(image, spec->u / 2, &s.padded));
    fv_parallel((s.n + QUERIES - 1) / QUERIES, search_tile, &s);
    fv_sr_image_release(&s.padded);
    const int code = atomic_load(&failed);
    return code == FV_OK ? FV_OK : FV_FAIL(code, "salient relevance: a tile of patches failed");
}
