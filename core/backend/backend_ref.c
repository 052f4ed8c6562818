/* The reference backend: plain C that any compiler vectorises a little.  Every element of C is one
 * f32 sum over k in ascending order, so its bits do not depend on how rows are cut into tiles. */
#include "core/alloc.h"
#include "core/backend/plan_table.h"

#include <pthread.h>
#include <stdatomic.h>

/* A block of op(B) stays in L1 while ROWS rows of op(A) pass over it. */
#define ROWS  32
#define COLS  64
#define DEPTH 64

struct fv_gemm_plan {
    fv_plan_node node;
    fv_gemm desc;
};

struct fv_conv_plan {
    fv_plan_node node;
    fv_conv desc;
};

static fv_plan_table gemms = {.key_bytes = sizeof(fv_gemm)};
static fv_plan_table convs = {.key_bytes = sizeof(fv_conv)};
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_uint_fast64_t created;

static float element(const void *data, fv_dtype dtype, int64_t i) {
    return dtype == FV_BF16 ? fv_bf16_to_f32(((const fv_bf16 *)data)[i]) : ((const float *)data)[i];
}

/* op(B)[p0 .. p0+depth, j0 .. j0+cols] as f32, columns beyond cols zero. */
static void load_block(const fv_gemm *g, const void *b, int64_t p0, int64_t depth, int64_t j0,
                       int64_t cols, float block[DEPTH][COLS]) {
    const int64_t step_p = g->trans_b ? 1 : g->ldb, step_j = g->trans_b ? g->ldb : 1;

    for (int64_t p = 0; p < depth; p++) {
        const int64_t start = (p0 + p) * step_p + j0 * step_j;
        for (int64_t j = 0; j < cols; j++) block[p][j] = element(b, g->ab, start + j * step_j);
        for (int64_t j = cols; j < COLS; j++) block[p][j] = 0.0f;
    }
}

static void store_rows(const fv_gemm *g, float sums[ROWS][COLS], int64_t i0, int64_t rows,
                       int64_t j0, int64_t cols, const float *bias, void *c) {
    for (int64_t i = 0; i < rows; i++) {
        const int64_t start = (i0 + i) * g->ldc + j0;
        for (int64_t j = 0; j < cols; j++) {
            float v = g->alpha * sums[i][j];
            if (g->bias) v += bias[j0 + j];
            if (g->c == FV_BF16) {
                ((fv_bf16 *)c)[start + j] = fv_bf16_from_f32(v);
            } else {
                float *out = (float *)c + start + j;
                *out = g->accumulate ? v + *out : v;
            }
        }
    }
}

static fv_status gemm_run(const fv_gemm_plan *plan, const void *a, const void *b, const float *bias,
                          void *c) {
    const fv_gemm *g = &plan->desc;
    const int64_t step_i = g->trans_a ? 1 : g->lda, step_p = g->trans_a ? g->lda : 1;
    float sums[ROWS][COLS], block[DEPTH][COLS];

    for (int64_t j0 = 0; j0 < g->n; j0 += COLS) {
        const int64_t cols = g->n - j0 < COLS ? g->n - j0 : COLS;
        for (int64_t i0 = 0; i0 < g->m; i0 += ROWS) {
            const int64_t rows = g->m - i0 < ROWS ? g->m - i0 : ROWS;
            for (int64_t i = 0; i < rows; i++)
                for (int j = 0; j < COLS; j++) sums[i][j] = 0.0f;
            for (int64_t p0 = 0; p0 < g->k; p0 += DEPTH) {
                const int64_t depth = g->k - p0 < DEPTH ? g->k - p0 : DEPTH;
                load_block(g, b, p0, depth, j0, cols, block);
                for (int64_t i = 0; i < rows; i++) {
                    for (int64_t p = 0; p < depth; p++) {
                        const int64_t at = (i0 + i) * step_i + (p0 + p) * step_p;
                        const float v = element(a, g->ab, at);
                        for (int j = 0; j < COLS; j++) sums[i][j] += v * block[p][j];
                    }
                }
            }
            store_rows(g, sums, i0, rows, j0, cols, bias, c);
        }
    }
    return FV_OK;
}

static fv_status gemm_find(const fv_gemm *desc, const fv_gemm_plan **plan) {
    fv_gemm key;
    fv_status status = FV_OK;

    *plan = NULL;
    FV_TRY(fv_gemm_normalise(desc, &key));
    pthread_mutex_lock(&lock);
    fv_plan_node *node = fv_plan_table_find(&gemms, &key);
    fv_gemm_plan *fresh = node ? NULL : fv_alloc(1, sizeof *fresh);
    if (fresh) {
        fresh->desc = key;
        fresh->node.key = &fresh->desc;
        node = &fresh->node;
        fv_plan_table_add(&gemms, node);
        atomic_fetch_add(&created, 1);
    }
    if (!node) status = FV_ERR_NOMEM;
    pthread_mutex_unlock(&lock);
    *plan = (const fv_gemm_plan *)node;
    return status;
}

/* ---- convolutions ---- */

/* Weights of the forward and data passes are packed so that the channels of the result are innermost:
 * f32 [groups][kh * kw][summed channels][result channels]. */
typedef struct sides {
    int64_t in, out; /* channels of a group: summed over, and of the result */
} sides;

static sides sides_of(const fv_conv *c) {
    const int64_t C = c->C / c->groups, O = c->O / c->groups;
    return c->pass == FV_CONV_DATA ? (sides){O, C} : (sides){C, O};
}

static size_t conv_packed_bytes(const fv_conv_plan *plan) {
    const fv_conv *c = &plan->desc;
    const int64_t n = c->O * (c->C / c->groups) * c->kh * c->kw;
    return c->pass == FV_CONV_WEIGHTS ? 0 : (size_t)n * sizeof(float);
}

static fv_status conv_pack(const fv_conv_plan *plan, const void *w, void *packed) {
    const fv_conv *c = &plan->desc;
    const int64_t C = c->C / c->groups, O = c->O / c->groups, taps = c->kh * c->kw;
    const bool data = c->pass == FV_CONV_DATA;
    float *to = packed;

    for (int64_t g = 0; g < c->groups; g++)
        for (int64_t t = 0; t < taps; t++)
            for (int64_t p = 0; p < (data ? O : C); p++)
                for (int64_t j = 0; j < (data ? C : O); j++) {
                    const int64_t o = g * O + (data ? p : j), i = data ? j : p;
                    *to++ = element(w, c->in, (o * C + i) * taps + t);
                }
    return FV_OK;
}

/* The pixel that a tap pairs with position `at` of the result, -1 for none.  Forward: input pixels
 * under an output; data: outputs over an input pixel. */
static int64_t partner(const fv_conv *c, int64_t at, int64_t tap, int64_t pad, int64_t size) {
    int64_t p = at * c->stride - pad + tap;

    if (c->pass == FV_CONV_DATA) {
        p = at + pad - tap;
        if (p < 0 || p % c->stride) return -1;
        p /= c->stride;
    }
    return p >= 0 && p < size ? p : -1;
}

/* COLS result channels of one pixel. */
static void conv_pixel(const fv_conv *c, const void *a, const float *w, int64_t row, int64_t column,
                       int64_t j0, int64_t cols, float sums[COLS]) {
    const bool data = c->pass == FV_CONV_DATA;
    const int64_t H = data ? fv_conv_rows(c) : c->H, W = data ? fv_conv_columns(c) : c->W;
    const int64_t channels = data ? c->O : c->C;
    const sides s = sides_of(c);
    const int64_t g = j0 / s.out, start = j0 % s.out;

    for (int64_t t = 0; t < c->kh * c->kw; t++) {
        const int64_t r = partner(c, row, t / c->kw, c->top, H);
        const int64_t q = partner(c, column, t % c->kw, c->left, W);
        if (r < 0 || q < 0) continue;
        const int64_t from = (r * W + q) * channels + g * s.in;
        const float *tap = w + (g * c->kh * c->kw + t) * s.in * s.out + start;
        for (int64_t p = 0; p < s.in; p++) {
            const float v = element(a, c->in, from + p);
            for (int64_t j = 0; j < cols; j++) sums[j] += v * tap[p * s.out + j];
        }
    }
}

static void conv_map(const fv_conv *c, const void *a, const float *w, const float *bias,
                     void *out) {
    const bool data = c->pass == FV_CONV_DATA;
    const int64_t rows = data ? c->H : fv_conv_rows(c), columns = data ? c->W : fv_conv_columns(c);
    const int64_t channels = data ? c->C : c->O, group = sides_of(c).out;
    float sums[COLS];

    for (int64_t i = 0; i < rows * columns; i++)
        for (int64_t j0 = 0, cols; j0 < channels; j0 += cols) {
            const int64_t left = group - j0 % group;
            cols = left < COLS ? left : COLS;
            for (int64_t j = 0; j < cols; j++) sums[j] = 0.0f;
            conv_pixel(c, a, w, i / columns, i % columns, j0, cols, sums);
            for (int64_t j = 0; j < cols; j++) {
                const float v = sums[j] + (c->bias ? bias[j0 + j] : 0.0f);
                if (c->out == FV_BF16)
                    ((fv_bf16 *)out)[i * channels + j0 + j] = fv_bf16_from_f32(v);
                else
                    ((float *)out)[i * channels + j0 + j] = v;
            }
        }
}

/* All weights of output channel o: each a sum over images and pixels, row by row. */
static void conv_weights(const fv_conv *c, const void *x, const void *dy, int64_t o, float *dw) {
    const int64_t C = c->C / c->groups, taps = c->kh * c->kw, first = o / (c->O / c->groups) * C;
    const int64_t Ho = fv_conv_rows(c), Wo = fv_conv_columns(c);

    for (int64_t i = 0; i < C * taps; i++) dw[i] = 0.0f;
    for (int64_t p = 0; p < c->n * Ho * Wo; p++) {
        const int64_t row = p / Wo % Ho, image = p / (Ho * Wo);
        const float grad = element(dy, c->in, p * c->O + o);
        for (int64_t t = 0; t < taps; t++) {
            const int64_t r = row * c->stride - c->top + t / c->kw;
            const int64_t q = p % Wo * c->stride - c->left + t % c->kw;
            if (r < 0 || r >= c->H || q < 0 || q >= c->W) continue;
            const int64_t from = ((image * c->H + r) * c->W + q) * c->C + first;
            for (int64_t i = 0; i < C; i++) dw[i * taps + t] += grad * element(x, c->in, from + i);
        }
    }
}

static fv_status conv_run(const fv_conv_plan *plan, const void *a, const void *b, const float *bias,
                          void *out) {
    const fv_conv *c = &plan->desc;
    const int64_t x = c->H * c->W * c->C, y = fv_conv_rows(c) * fv_conv_columns(c) * c->O;
    const int64_t from = c->pass == FV_CONV_DATA ? y : x, to = c->pass == FV_CONV_DATA ? x : y;

    if (c->pass == FV_CONV_WEIGHTS) {
        const int64_t n = c->C / c->groups * c->kh * c->kw;
        for (int64_t o = 0; o < c->O; o++) conv_weights(c, a, b, o, (float *)out + o * n);
        return FV_OK;
    }
    for (int64_t i = 0; i < c->n; i++)
        conv_map(c, (const char *)a + (size_t)(i * from) * fv_dtype_bytes(c->in), b, bias,
                 (char *)out + (size_t)(i * to) * fv_dtype_bytes(c->out));
    return FV_OK;
}

static fv_status conv_find(const fv_conv *desc, const fv_conv_plan **plan) {
    fv_conv key;
    fv_status status = FV_OK;

    *plan = NULL;
    FV_TRY(fv_conv_normalise(desc, &key));
    pthread_mutex_lock(&lock);
    fv_plan_node *node = fv_plan_table_find(&convs, &key);
    fv_conv_plan *fresh = node ? NULL : fv_alloc(1, sizeof *fresh);
    if (fresh) {
        fresh->desc = key;
        fresh->node.key = &fresh->desc;
        node = &fresh->node;
        fv_plan_table_add(&convs, node);
        atomic_fetch_add(&created, 1);
    }
    if (!node) status = FV_ERR_NOMEM;
    pthread_mutex_unlock(&lock);
    *plan = (const fv_conv_plan *)node;
    return status;
}

static const char *conv_implementation(const fv_conv_plan *plan) {
    (void)plan;
    return "ref:c";
}

/* ---- both ---- */

static size_t gemm_packed_bytes(const fv_gemm_plan *plan) {
    (void)plan;
    return 0;
}

static void gemm_pack(const fv_gemm_plan *plan, const void *b, int64_t first, int64_t count,
                      void *packed) {
    (void)plan, (void)b, (void)first, (void)count, (void)packed;
}

static const char *gemm_implementation(const fv_gemm_plan *plan) {
    (void)plan;
    return "ref:c";
}

static uint64_t plans_created(void) { return atomic_load(&created); }

static void destroy(fv_plan_node *node) { fv_free(node); }

static void release(void) {
    pthread_mutex_lock(&lock);
    fv_plan_table_clear(&gemms, destroy);
    fv_plan_table_clear(&convs, destroy);
    pthread_mutex_unlock(&lock);
}

const fv_backend_table fv_backend_ref = {.name = "reference",
                                         .gemm_find = gemm_find,
                                         .gemm_packed_bytes = gemm_packed_bytes,
                                         .gemm_pack = gemm_pack,
                                         .gemm_run = gemm_run,
                                         .gemm_implementation = gemm_implementation,
                                         .conv_find = conv_find,
                                         .conv_packed_bytes = conv_packed_bytes,
                                         .conv_pack = conv_pack,
                                         .conv_run = conv_run,
                                         .conv_implementation = conv_implementation,
                                         .plans_created = plans_created,
                                         .release = release};
