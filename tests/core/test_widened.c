/* bf16 below AVX-512: oneDNN's plans for f32 behind conversions, against the reference backend's bf16;
 * equal bits for rows apart and on any thread; nothing allocated by a run. */
#include "core/alloc.h"
#include "core/backend/backend.h"
#include "core/parallel.h"
#include "core/rng.h"
#include "tests/support/packed.h"
#include "tests/support/random_tensor.h"

#include <criterion/criterion.h>

#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const fv_backend_table *const ref = &fv_backend_ref, *const onednn = &fv_backend_dnnl;

static void enter(void) { setenv("FOVEA_CPU", "avx2", 1); }

static void leave(void) {
    fv_alloc_fail_at(0);
    ref->release();
    onednn->release();
    fv_scratch_release();
    fv_threads_set(1);
}

TestSuite(core_widened, .init = enter, .fini = leave);

static fv_tensor make(fv_dtype dtype, int64_t n, uint32_t layer) {
    const fv_rng_key key = {.seed = 26, .purpose = FV_RNG_TEST, .layer = layer};
    return random_tensor(&key, dtype, n);
}

/* Sums of up to `terms` products of numbers in [-1,1], in another order, and rounded if they are bf16. */
static void expect_near(const fv_tensor *got, const fv_tensor *want, int64_t terms,
                        const char *what) {
    const float rounding = got->dtype == FV_BF16 ? 1.0f / 128 : 0.0f;

    for (int64_t i = 0; i < want->shape.dim[0]; i++) {
        const float a = fv_tensor_get(got, i), b = fv_tensor_get(want, i);
        cr_assert(fabsf(a - b) <= 1e-6f * (float)terms + rounding * fabsf(b),
                  "%s: element %d is %.8g, not %.8g", what, (int)i, (double)a, (double)b);
    }
}

/* ---- products ---- */

typedef struct product {
    fv_gemm g;
    fv_tensor a, b, bias, c;
} product;

static product make_product(const fv_gemm *g) {
    return (product){.g = *g,
                     .a = make(FV_BF16, (g->trans_a ? g->k : g->m) * g->lda, 1),
                     .b = make(FV_BF16, (g->trans_b ? g->n : g->k) * g->ldb, 2),
                     .bias = make(FV_F32, g->n, 3),
                     .c = make(g->c, g->m * g->ldc, 4)};
}

static void free_product(product *p) {
    fv_free(p->a.data);
    fv_free(p->b.data);
    fv_free(p->bias.data);
    fv_free(p->c.data);
}

static void *element(const fv_tensor *t, int64_t i) {
    return (char *)t->data + (size_t)i * fv_dtype_bytes(t->dtype);
}

/* Rows first .. first + rows - 1, into their place in p->c. */
static void multiply(const fv_backend_table *table, const product *p, int64_t first, int64_t rows) {
    const fv_gemm_plan *plan;
    fv_gemm g = p->g;

    g.m = rows;
    cr_assert_eq(table->gemm_find(&g, &plan), FV_OK, "%s", fv_error_message());
    if (table == onednn) cr_assert_str_eq(table->gemm_implementation(plan), "widened to f32");
    void *packed = packed_operand(table, plan, g.n, p->b.data);
    cr_assert_eq(table->gemm_run(plan, element(&p->a, first * (g.trans_a ? 1 : g.lda)),
                                 packed ? packed : p->b.data, g.bias ? p->bias.data : NULL,
                                 element(&p->c, first * g.ldc)),
                 FV_OK);
    fv_free(packed);
}

/* A product of every kind; odd sizes, with or without gaps between rows. */
static fv_gemm kind(int bits, int64_t m, int64_t n, int64_t k) {
    static const float alphas[] = {1.0f, 0.125f, -2.0f, 0.0f};
    fv_gemm g = {.m = m, .n = n, .k = k, .ab = FV_BF16, .alpha = alphas[bits & 3]};

    g.trans_a = bits >> 2 & 1;
    g.trans_b = bits >> 3 & 1;
    g.bias = bits >> 4 & 1;
    g.c = bits >> 5 & 1 ? FV_BF16 : FV_F32;
    g.accumulate = g.c == FV_F32 && bits >> 6 & 1;
    g.apart = g.packed = !g.trans_a && bits >> 6 & 1;
    g.lda = (g.trans_a ? m : k) + (bits >> 7 & 1) * 3;
    g.ldb = (g.trans_b ? k : n) + (bits >> 7 & 1) * 5;
    g.ldc = n + (bits >> 7 & 1) * 7;
    return g;
}

Test(core_widened, products_of_every_kind) {
    static const int64_t sizes[][3] = {{1, 1, 1}, {37, 29, 53}, {5, 65, 300}, {130, 17, 31}};
    char what[96];

    for (int bits = 0; bits < 256; bits++)
        for (int s = 0; s < 4; s++) {
            const fv_gemm g = kind(bits, sizes[s][0], sizes[s][1], sizes[s][2]);
            product got = make_product(&g), want = make_product(&g);
            multiply(onednn, &got, 0, g.m);
            multiply(ref, &want, 0, g.m);
            snprintf(what, sizeof what, "kind %#x of %dx%dx%d", bits, (int)g.m, (int)g.n, (int)g.k);
            expect_near(&got.c, &want.c, 2 * g.k + 2, what);
            free_product(&got);
            free_product(&want);
        }
}

Test(core_widened, rows_apart_do_not_see_each_other) {
    for (int bits = 0; bits < 256; bits++) {
        fv_gemm g = kind(bits, 98, 40, 300);
        if (g.trans_a) continue;
        g.apart = 1;
        product whole = make_product(&g), parts = make_product(&g);
        multiply(onednn, &whole, 0, g.m);
        for (int64_t first = 0, n = 1; first < g.m; first += n, n = 2 * n + 1)
            multiply(onednn, &parts, first, first + n < g.m ? n : g.m - first);
        cr_assert_eq(memcmp(whole.c.data, parts.c.data, fv_tensor_bytes(&whole.c)), 0, "kind %#x",
                     bits);
        free_product(&whole);
        free_product(&parts);
    }
}

/* ---- convolutions ---- */

static const fv_conv dense = {.n = 2,
                              .H = 11,
                              .W = 9,
                              .C = 12,
                              .O = 20,
                              .kh = 3,
                              .kw = 3,
                              .stride = 2,
                              .top = 1,
                              .left = 2,
                              .bottom = 1,
                              .groups = 1,
                              .bias = 1,
                              .in = FV_BF16};

static int64_t size_x(const fv_conv *c) { return c->n * c->H * c->W * c->C; }
static int64_t size_w(const fv_conv *c) { return c->O * c->C / c->groups * c->kh * c->kw; }
static int64_t size_y(const fv_conv *c) {
    return c->n * fv_conv_rows(c) * fv_conv_columns(c) * c->O;
}

static fv_tensor convolve(const fv_backend_table *table, const fv_conv *c) {
    const bool forward = c->pass == FV_CONV_FORWARD, data = c->pass == FV_CONV_DATA;
    fv_tensor x = make(FV_BF16, size_x(c), 1), w = make(FV_BF16, size_w(c), 2);
    fv_tensor dy = make(FV_BF16, size_y(c), 3), bias = make(FV_F32, c->O, 4);
    fv_tensor out = make(c->out, forward ? size_y(c) : data ? size_x(c) : size_w(c), 5);
    const fv_conv_plan *plan;

    cr_assert_eq(table->conv_find(c, &plan), FV_OK, "%s", fv_error_message());
    const bool ours = c->pass == FV_CONV_WEIGHTS && c->groups == c->C;
    if (table == onednn)
        cr_assert_str_eq(table->conv_implementation(plan),
                         ours ? "fovea:depthwise" : "widened to f32");
    void *packed = fv_alloc(table->conv_packed_bytes(plan) + 1, 1);
    cr_assert_not_null(packed);
    const uint64_t calls = fv_alloc_calls();
    if (forward || data) cr_assert_eq(table->conv_pack(plan, w.data, packed), FV_OK);
    cr_assert_eq(table->conv_run(plan, data ? dy.data : x.data, forward || data ? packed : dy.data,
                                 forward ? bias.data : NULL, out.data),
                 FV_OK);
    cr_assert_eq(fv_alloc_calls(), calls);
    fv_free(packed);
    fv_free(x.data);
    fv_free(w.data);
    fv_free(dy.data);
    fv_free(bias.data);
    return out;
}

Test(core_widened, convolutions_of_every_kind) {
    for (int pass = FV_CONV_FORWARD; pass <= FV_CONV_WEIGHTS; pass++)
        for (int64_t groups = 1; groups <= 12; groups += groups < 4 ? 3 : 8)
            for (int narrow = 0; narrow < (pass == FV_CONV_WEIGHTS ? 1 : 2); narrow++) {
                fv_conv c = dense;
                char what[64];
                c.pass = (fv_conv_pass)pass;
                c.groups = groups;
                if (groups == c.C) c.O = c.C;
                if (narrow) c.out = FV_BF16;
                fv_tensor got = convolve(onednn, &c), want = convolve(ref, &c);
                snprintf(what, sizeof what, "pass %d, %d groups", pass, (int)groups);
                expect_near(&got, &want, 2 * c.n * c.H * c.W, what);
                fv_free(got.data);
                fv_free(want.data);
            }
}

/* ---- memory ---- */

#define TASKS 24

typedef struct tasks {
    const product *p;
    const fv_gemm_plan *plan;
    atomic_int failures;
} tasks;

/* A caller keeps what it has in its own scratch. */
static void run_task(int64_t task, void *arg) {
    tasks *t = arg;
    const product *p = &t->p[task];
    unsigned char *mine = fv_scratch(1000);

    memset(mine, (int)task, 1000);
    if (onednn->gemm_run(t->plan, p->a.data, p->b.data, p->bias.data, p->c.data) != FV_OK)
        t->failures++;
    for (int i = 0; i < 1000; i++)
        if (mine[i] != task) t->failures++;
}

Test(core_widened, runs_allocate_nothing) {
    const fv_gemm g = kind(0x3a, 50, 60, 70);
    const fv_gemm_plan *again;
    product p[TASKS];
    tasks t = {.p = p};

    for (int i = 0; i < TASKS; i++) p[i] = make_product(&g);
    fv_threads_set(3);
    cr_assert_eq(fv_scratch_reserve(1000), FV_OK);
    cr_assert_eq(onednn->gemm_find(&g, &t.plan), FV_OK);
    const uint64_t calls = fv_alloc_calls(), plans = onednn->plans_created();
    for (int repeat = 0; repeat < 3; repeat++) {
        fv_parallel(TASKS, run_task, &t);
        cr_assert_eq(onednn->gemm_find(&g, &again), FV_OK);
        cr_assert_eq(again, t.plan);
    }
    cr_assert_eq(t.failures, 0);
    cr_assert_eq(fv_alloc_calls(), calls);
    cr_assert_eq(onednn->plans_created(), plans);
    for (int i = 1; i < TASKS; i++)
        cr_assert_eq(memcmp(p[0].c.data, p[i].c.data, fv_tensor_bytes(&p[0].c)), 0);
    for (int i = 0; i < TASKS; i++) free_product(&p[i]);
}

Test(core_widened, failed_allocations_are_reported) {
    const fv_gemm g = kind(0x3a, 50, 60, 70);
    fv_status status = FV_ERR_NOMEM;
    uint64_t n = 0;

    fv_threads_set(2);
    while (status != FV_OK && ++n < 80) {
        const fv_gemm_plan *gemm;
        const fv_conv_plan *conv;
        onednn->release();
        fv_alloc_fail_at(n);
        status = onednn->gemm_find(&g, &gemm);
        if (status == FV_OK) status = onednn->conv_find(&dense, &conv);
        fv_alloc_fail_at(0);
        cr_assert(status == FV_OK || status == FV_ERR_NOMEM);
        cr_assert_eq(onednn->gemm_find(&g, &gemm), FV_OK, "usable after a failure");
        cr_assert_eq(onednn->conv_find(&dense, &conv), FV_OK, "usable after a failure");
    }
    cr_assert(n > 1 && n < 80);
}
