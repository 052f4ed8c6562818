/* oneDNN against the reference against double precision, and the rules that make the bits of a
 * product independent of threads. */
#include "core/alloc.h"
#include "core/backend/backend.h"
#include "core/kernels/kernels.h"
#include "core/parallel.h"
#include "core/rng.h"
#include "tests/support/packed.h"
#include "tests/support/random_tensor.h"

#include <criterion/criterion.h>

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define MARK 77.0f

static uint32_t draws;

static uint32_t draw(uint32_t n) {
    const fv_rng_key key = {.seed = 5, .purpose = FV_RNG_TEST};
    return fv_rng_below(&key, draws++, n);
}

static fv_tensor make(fv_dtype dtype, int64_t n, uint32_t layer) {
    const fv_rng_key key = {.seed = 6, .purpose = FV_RNG_TEST, .layer = layer, .step = draws};
    return random_tensor(&key, dtype, n);
}

static int64_t rows_a(const fv_gemm *g) { return g->trans_a ? g->k : g->m; }
static int64_t rows_b(const fv_gemm *g) { return g->trans_b ? g->n : g->k; }

typedef struct product {
    fv_gemm g;
    fv_tensor a, b, bias, before;
} product;

static product make_product(const fv_gemm *g) {
    return (product){.g = *g,
                     .a = make(g->ab, rows_a(g) * g->lda, 1),
                     .b = make(g->ab, rows_b(g) * g->ldb, 2),
                     .bias = make(FV_F32, g->n, 3),
                     .before = make(g->c, g->m * g->ldc, 4)};
}

static void free_product(product *p) {
    fv_free(p->a.data);
    fv_free(p->b.data);
    fv_free(p->bias.data);
    fv_free(p->before.data);
}

/* C in double, and a bound of its f32 error. */
static double oracle(const product *p, int64_t i, int64_t j, double *size) {
    const fv_gemm *g = &p->g;
    const double alpha = g->alpha != 0.0f ? (double)g->alpha : 1.0;
    double sum = 0.0;

    *size = 0.0;
    for (int64_t q = 0; q < g->k; q++) {
        const float a = fv_tensor_get(&p->a, g->trans_a ? q * g->lda + i : i * g->lda + q);
        const float b = fv_tensor_get(&p->b, g->trans_b ? j * g->ldb + q : q * g->ldb + j);
        sum += (double)a * (double)b;
        *size += fabs((double)a * (double)b);
    }
    sum *= alpha;
    *size = *size * fabs(alpha) + 1.0;
    if (g->bias) sum += (double)fv_tensor_get(&p->bias, j);
    if (g->accumulate) sum += (double)fv_tensor_get(&p->before, i * g->ldc + j);
    return sum;
}

static void check_product(const fv_backend_table *backend, const product *p) {
    const fv_gemm *g = &p->g;
    const fv_gemm_plan *plan;
    fv_tensor c = make(g->c, g->m * g->ldc, 4);

    memcpy(c.data, p->before.data, fv_tensor_bytes(&c));
    cr_assert_eq(backend->gemm_find(g, &plan), FV_OK, "%s", fv_error_message());
    const float *bias = g->bias ? p->bias.data : NULL;
    void *packed = packed_operand(backend, plan, g->n, p->b.data);
    cr_assert_eq(backend->gemm_run(plan, p->a.data, packed ? packed : p->b.data, bias, c.data),
                 FV_OK);
    fv_free(packed);
    for (int64_t i = 0; i < g->m; i++) {
        for (int64_t j = 0; j < g->ldc; j++) {
            const double got = (double)fv_tensor_get(&c, i * g->ldc + j);
            if (j >= g->n) {
                const double was = (double)fv_tensor_get(&p->before, i * g->ldc + j);
                cr_assert(got == was, "column %d beyond n was written", (int)j);
                continue;
            }
            double size;
            const double want = oracle(p, i, j, &size);
            const double bound = 1e-6 * size + (g->c == FV_BF16 ? 0.004 * fabs(want) : 0.0);
            cr_assert(fabs(got - want) <= bound,
                      "%s %s %s>%s %dx%dx%d t%d%d ld %d %d %d alpha %g bias %d add %d at %d,%d: "
                      "%.8g, not %.8g",
                      backend->name, backend->gemm_implementation(plan), fv_dtype_name(g->ab),
                      fv_dtype_name(g->c), (int)g->m, (int)g->n, (int)g->k, g->trans_a, g->trans_b,
                      (int)g->lda, (int)g->ldb, (int)g->ldc, (double)g->alpha, g->bias,
                      g->accumulate, (int)i, (int)j, got, want);
        }
    }
    fv_free(c.data);
}

static fv_gemm random_gemm(fv_dtype ab) {
    static const int64_t sizes[] = {1, 2, 3, 7, 16, 17, 31, 33, 64, 65, 100, 130};
    static const float alphas[] = {0.0f, 1.0f, 0.125f, -2.0f};
    fv_gemm g = {.m = sizes[draw(12)], .n = sizes[draw(12)], .k = sizes[draw(12)], .ab = ab};

    g.trans_a = (int32_t)draw(2);
    g.trans_b = (int32_t)draw(2);
    g.apart = !g.trans_a && draw(2);
    g.packed = (int32_t)draw(2);
    g.c = ab == FV_BF16 && draw(2) ? FV_BF16 : FV_F32;
    g.accumulate = g.c == FV_F32 && draw(2);
    g.bias = (int32_t)draw(2);
    g.alpha = alphas[draw(4)];
    g.lda = (g.trans_a ? g.m : g.k) + (draw(2) ? draw(9) : 0);
    g.ldb = (g.trans_b ? g.k : g.n) + (draw(2) ? draw(9) : 0);
    g.ldc = g.n + (draw(2) ? draw(9) : 0);
    return g;
}

static void check_random(const fv_backend_table *backend, fv_dtype ab, int count) {
    draws = 0;
    for (int i = 0; i < count; i++) {
        const fv_gemm g = random_gemm(ab);
        product p = make_product(&g);
        check_product(backend, &p);
        free_product(&p);
    }
    backend->release();
}

Test(core_backend, reference_f32) { check_random(&fv_backend_ref, FV_F32, 150); }
Test(core_backend, reference_bf16) { check_random(&fv_backend_ref, FV_BF16, 150); }
Test(core_backend, onednn_f32) { check_random(&fv_backend_dnnl, FV_F32, 300); }
Test(core_backend, onednn_bf16) { check_random(&fv_backend_dnnl, FV_BF16, 300); }

/* More rows, columns and summands than a block of any kernel takes at once. */
static void check_large(const fv_backend_table *backend, fv_dtype ab, float alpha) {
    for (int bits = 0; bits < 16; bits++) {
        fv_gemm g = {.m = 203, .n = 150, .k = 515, .ab = ab, .alpha = alpha};
        g.trans_a = bits & 1;
        g.trans_b = bits >> 1 & 1;
        g.bias = bits >> 2 & 1;
        g.accumulate = bits >> 3 & 1;
        g.apart = g.packed = !g.trans_a;
        g.lda = g.trans_a ? g.m + 1 : g.k + 1;
        g.ldb = g.trans_b ? g.k : g.n;
        g.ldc = g.n + 2;
        product p = make_product(&g);
        check_product(backend, &p);
        free_product(&p);
    }
    backend->release();
}

Test(core_backend, large_products) {
    check_large(&fv_backend_ref, FV_F32, 0.5f);
    check_large(&fv_backend_dnnl, FV_F32, 0.5f);
    check_large(&fv_backend_dnnl, FV_BF16, 0.5f);
    check_large(&fv_backend_dnnl, FV_BF16, 1.0f);
}

static void set_avx2(void) { setenv("FOVEA_CPU", "avx2", 1); }

/* Packed or not, rows that are apart have the same bits. */
Test(core_backend, packing_changes_no_bit, .init = set_avx2) {
    static const int64_t widths[] = {1, 15, 16, 33, 64, 150}, depths[] = {1, 40, 256, 600};

    for (int bits = 0; bits < 96; bits++) {
        const fv_gemm_plan *plain, *packs;
        fv_gemm g = {.m = 41, .n = widths[bits / 4 % 6], .k = depths[bits / 24], .apart = 1};
        g.trans_b = bits & 1;
        g.bias = bits >> 1 & 1;
        g.alpha = bits % 3 ? 1.0f : -0.3f;
        g.lda = g.k;
        g.ldb = g.trans_b ? g.k : g.n;
        g.ldc = g.n;
        product p = make_product(&g);
        fv_tensor want = make(FV_F32, g.m * g.n, 7), got = make(FV_F32, g.m * g.n, 8);
        const float *bias = g.bias ? p.bias.data : NULL;
        cr_assert_eq(fv_backend_dnnl.gemm_find(&g, &plain), FV_OK);
        g.packed = 1;
        cr_assert_eq(fv_backend_dnnl.gemm_find(&g, &packs), FV_OK);
        void *packed = packed_operand(&fv_backend_dnnl, packs, g.n, p.b.data);
        cr_assert(packed || strcmp(fv_kernel()->isa, "avx2") != 0);
        const void *b = packed ? packed : p.b.data;
        cr_assert_eq(fv_backend_dnnl.gemm_run(plain, p.a.data, p.b.data, bias, want.data), FV_OK);
        cr_assert_eq(fv_backend_dnnl.gemm_run(packs, p.a.data, b, bias, got.data), FV_OK);
        cr_assert_eq(memcmp(want.data, got.data, fv_tensor_bytes(&got)), 0, "case %d", bits);
        fv_free(packed);
        fv_free(want.data);
        fv_free(got.data);
        free_product(&p);
    }
    fv_backend_dnnl.release();
}

/* Rows first .. first + rows - 1 of p alone; out is rows x ldc. */
static void run_rows(const fv_backend_table *backend, const product *p, int64_t first, int64_t rows,
                     float *out) {
    const fv_gemm_plan *plan;
    fv_gemm g = p->g;

    g.m = rows;
    memcpy(out, (float *)p->before.data + first * g.ldc, (size_t)(rows * g.ldc) * sizeof(float));
    cr_assert_eq(backend->gemm_find(&g, &plan), FV_OK, "%s", fv_error_message());
    cr_assert_eq(backend->gemm_run(plan, (float *)p->a.data + first * g.lda, p->b.data,
                                   g.bias ? p->bias.data : NULL, out),
                 FV_OK);
}

/* Rows that are apart have the same bits together, in pieces and one by one. */
static void check_apart(const fv_backend_table *backend, const fv_gemm *g) {
    static const int64_t sizes[] = {1, 2, 3, 5, 6, 8, 17, 48, 65, 98};
    product p = make_product(g);
    float *whole = fv_alloc((size_t)(g->m * g->ldc), sizeof *whole);
    float *part = fv_alloc((size_t)(g->m * g->ldc), sizeof *part);

    cr_assert(whole && part);
    run_rows(backend, &p, 0, g->m, whole);
    for (int64_t first = 0, n; first < g->m; first += n) {
        n = sizes[draw(10)];
        if (n > g->m - first) n = g->m - first;
        run_rows(backend, &p, first, n, part);
        cr_assert_eq(memcmp(part, whole + first * g->ldc, (size_t)(n * g->ldc) * sizeof *part), 0,
                     "%s: rows %d to %d of %dx%dx%d t%d bias %d add %d", backend->name, (int)first,
                     (int)(first + n), (int)g->m, (int)g->n, (int)g->k, g->trans_b, g->bias,
                     g->accumulate);
    }
    fv_free(whole);
    fv_free(part);
    free_product(&p);
}

Test(core_backend, rows_apart_do_not_see_each_other) {
    const fv_backend_table *tables[] = {&fv_backend_ref, &fv_backend_dnnl};
    static const int64_t widths[] = {1, 5, 16, 24, 40, 100}, depths[] = {1, 8, 33, 64, 300, 700};

    for (int t = 0; t < 2; t++) {
        draws = 0;
        for (int i = 0; i < 60; i++) {
            fv_gemm g = {.m = 196, .n = widths[i % 6], .k = depths[draw(6)], .apart = 1};
            g.trans_b = (int32_t)draw(2);
            g.bias = (int32_t)draw(2);
            g.accumulate = (int32_t)draw(2);
            g.alpha = draw(2) ? 0.3f : 1.0f;
            g.lda = g.k;
            g.ldb = g.trans_b ? g.k : g.n;
            g.ldc = g.n;
            check_apart(tables[t], &g);
        }
        tables[t]->release();
    }
}

static void set_c(void) { setenv("FOVEA_CPU", "c", 1); }

Test(core_backend, onednn_below_avx512, .init = set_avx2) {
    check_random(&fv_backend_dnnl, FV_F32, 200);
    check_random(&fv_backend_dnnl, FV_BF16, 200);
    check_large(&fv_backend_dnnl, FV_F32, 0.5f);
    check_large(&fv_backend_dnnl, FV_BF16, 0.5f);
}

Test(core_backend, fovea_cpu_chooses_the_backend, .init = set_c) {
    cr_assert_eq(fv_backend(), &fv_backend_ref);
    fv_backend_use(&fv_backend_dnnl);
    cr_assert_eq(fv_backend(), &fv_backend_dnnl);
    fv_backend_use(NULL);
    cr_assert_eq(fv_backend(), &fv_backend_ref);
}

Test(core_backend, onednn_is_the_default) {
    if (strcmp(fv_cpu_limit(), "c") == 0) cr_skip_test("FOVEA_CPU asks for the reference");
    cr_assert_eq(fv_backend(), &fv_backend_dnnl);
    cr_assert_eq(strncmp(fv_backend()->name, "onednn ", 7), 0);
}

Test(core_backend, bad_descriptors_are_refused) {
    const fv_gemm good = {.m = 4, .n = 5, .k = 6, .lda = 6, .ldb = 5, .ldc = 5};
    const fv_backend_table *tables[] = {&fv_backend_ref, &fv_backend_dnnl};
    const fv_gemm_plan *plan;

    for (int t = 0; t < 2; t++) {
        fv_gemm g = good;
        g.k = 0;
        cr_assert_eq(tables[t]->gemm_find(&g, &plan), FV_ERR_SHAPE);
        cr_assert_null(plan);
        g = good;
        g.lda = 5;
        cr_assert_eq(tables[t]->gemm_find(&g, &plan), FV_ERR_SHAPE);
        g = good;
        g.trans_b = 1; /* rows of 6 now */
        cr_assert_eq(tables[t]->gemm_find(&g, &plan), FV_ERR_SHAPE);
        g = good;
        g.ab = FV_I32;
        cr_assert_eq(tables[t]->gemm_find(&g, &plan), FV_ERR_UNSUPPORTED);
        g = good;
        g.apart = g.trans_a = 1;
        cr_assert_eq(tables[t]->gemm_find(&g, &plan), FV_ERR_UNSUPPORTED);
        g = good;
        g.ab = g.c = FV_BF16;
        g.accumulate = 1;
        cr_assert_eq(tables[t]->gemm_find(&g, &plan), FV_ERR_UNSUPPORTED);
    }
}

Test(core_backend, a_shape_is_planned_once) {
    const fv_backend_table *tables[] = {&fv_backend_ref, &fv_backend_dnnl};
    fv_gemm g, again;

    for (int t = 0; t < 2; t++) {
        const fv_gemm_plan *first, *second, *other;
        memset(&g, 0, sizeof g);
        memset(&again, 0xff, sizeof again); /* padding bytes differ */
        g.m = g.n = g.k = g.lda = g.ldb = g.ldc = 32;
        again.m = again.n = again.k = again.lda = again.ldb = again.ldc = 32;
        again.trans_a = again.trans_b = again.accumulate = again.bias = 0;
        again.apart = again.packed = 0;
        again.ab = again.c = FV_F32;
        again.alpha = 1.0f; /* what 0 stands for */

        fv_threads_set(3);
        const uint64_t before = tables[t]->plans_created();
        cr_assert_eq(tables[t]->gemm_find(&g, &first), FV_OK);
        cr_assert_eq(tables[t]->plans_created(), before + 1);
        const uint64_t calls = fv_alloc_calls();
        cr_assert_eq(tables[t]->gemm_find(&again, &second), FV_OK);
        cr_assert_eq(first, second);
        cr_assert_eq(tables[t]->plans_created(), before + 1);
        cr_assert_eq(fv_alloc_calls(), calls);
        again.bias = 1;
        cr_assert_eq(tables[t]->gemm_find(&again, &other), FV_OK);
        cr_assert_neq(first, other);
        tables[t]->release();
    }
}

Test(core_backend, failed_allocations_are_reported) {
    const fv_backend_table *tables[] = {&fv_backend_ref, &fv_backend_dnnl};
    const fv_gemm plain = {.m = 33, .n = 65, .k = 100, .lda = 100, .ldb = 65, .ldc = 65};
    const fv_gemm sums = {
        .m = 9, .n = 130, .k = 100, .lda = 9, .ldb = 130, .ldc = 130, .trans_a = 1};
    const fv_gemm_plan *plan;

    fv_threads_set(2);
    for (int t = 0; t < 6; t++) {
        fv_gemm g = t < 2 ? plain : sums;
        uint64_t n = 0;
        if (t >= 4) g.ab = FV_BF16;
        fv_status status;
        do {
            tables[t % 2]->release();
            fv_alloc_fail_at(++n);
            status = tables[t % 2]->gemm_find(&g, &plan);
            fv_alloc_fail_at(0);
            if (status == FV_OK) break;
            cr_assert_eq(status, FV_ERR_NOMEM);
            cr_assert_eq(tables[t % 2]->gemm_find(&g, &plan), FV_OK, "usable after a failure");
        } while (n < 50);
        cr_assert(n > 1 && n < 50);
        tables[t % 2]->release();
    }
}

/* ---- threads ---- */

#define JOBS 64

/* JOBS products of one shape, side by side. */
typedef struct jobs {
    const fv_gemm_plan *plan;
    const char *a, *b;
    const float *bias;
    char *c;
    size_t a_bytes, b_bytes, c_bytes; /* from job to job */
    atomic_int failures;
} jobs;

static void run_job(int64_t task, void *arg) {
    jobs *j = arg;
    const size_t i = (size_t)task;
    const fv_status status = fv_backend_dnnl.gemm_run(
        j->plan, j->a + i * j->a_bytes, j->b + i * j->b_bytes, j->bias, j->c + i * j->c_bytes);
    if (status != FV_OK) j->failures++;
}

static void *run_all_jobs(void *arg) {
    for (int64_t i = 0; i < JOBS; i++) run_job(i, arg);
    return NULL;
}

static void check_scratch_trap(fv_dtype ab, int find_threads) {
    const fv_gemm g = {.m = 197,
                       .n = 96,
                       .k = 192,
                       .lda = 192,
                       .ldb = 192,
                       .ldc = 96,
                       .trans_b = 1,
                       .bias = 1,
                       .ab = ab,
                       .c = FV_F32};
    const size_t element = fv_dtype_bytes(ab), out_bytes = (size_t)(g.m * g.ldc) * sizeof(float);
    fv_tensor a = make(ab, JOBS * rows_a(&g) * g.lda, 1),
              b = make(ab, JOBS * rows_b(&g) * g.ldb, 2);
    fv_tensor bias = make(FV_F32, g.n, 3);
    char *alone = fv_calloc(JOBS, out_bytes), *together = fv_calloc(JOBS, out_bytes);
    jobs j = {.a = a.data,
              .b = b.data,
              .bias = bias.data,
              .c = alone,
              .a_bytes = (size_t)(rows_a(&g) * g.lda) * element,
              .b_bytes = (size_t)(rows_b(&g) * g.ldb) * element,
              .c_bytes = out_bytes};

    fv_threads_set(1);
    cr_assert_eq(fv_backend_dnnl.gemm_find(&g, &j.plan), FV_OK);
    fv_parallel(JOBS, run_job, &j);
    fv_threads_set(find_threads); /* fewer than run: some threads find no lane */
    cr_assert_eq(fv_backend_dnnl.gemm_find(&g, &j.plan), FV_OK);
    fv_threads_set(8);
    j.c = together;
    for (int repeat = 0; repeat < 20; repeat++) {
        memset(together, 0, JOBS * out_bytes);
        fv_parallel(JOBS, run_job, &j);
        cr_assert_eq(j.failures, 0);
        cr_assert_eq(memcmp(alone, together, JOBS * out_bytes), 0, "repeat %d", repeat);
    }
    fv_free(alone);
    fv_free(together);
    fv_free(a.data);
    fv_free(b.data);
    fv_free(bias.data);
    fv_backend_dnnl.release();
}

Test(core_backend, one_plan_runs_on_many_threads_at_once) {
    check_scratch_trap(FV_F32, 8);
    check_scratch_trap(FV_BF16, 8);
}

Test(core_backend, many_threads_below_avx512, .init = set_avx2) { check_scratch_trap(FV_BF16, 8); }

Test(core_backend, more_threads_than_lanes) { check_scratch_trap(FV_F32, 2); }
Test(core_backend, more_below_avx512, .init = set_avx2) { check_scratch_trap(FV_BF16, 2); }

Test(core_backend, threads_outside_of_the_team) {
    const fv_gemm g = {.m = 50, .n = 60, .k = 70, .lda = 70, .ldb = 60, .ldc = 60, .ab = FV_F32};
    const size_t out_bytes = 50 * 60 * sizeof(float);
    fv_tensor a = make(FV_F32, JOBS * 50 * 70, 1), b = make(FV_F32, 70 * 60, 2);
    jobs j[3];
    pthread_t thread[3];

    fv_threads_set(2);
    for (int i = 0; i < 3; i++) {
        j[i] = (jobs){.a = a.data, .b = b.data, .a_bytes = 50 * 70 * sizeof(float)};
        j[i].c = fv_calloc(JOBS, out_bytes);
        j[i].c_bytes = out_bytes;
        cr_assert_eq(fv_backend_dnnl.gemm_find(&g, &j[i].plan), FV_OK);
    }
    for (int i = 0; i < 3; i++)
        cr_assert_eq(pthread_create(&thread[i], NULL, run_all_jobs, &j[i]), 0);
    for (int i = 0; i < 3; i++) pthread_join(thread[i], NULL);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(j[i].failures, 0);
        cr_assert_eq(memcmp(j[0].c, j[i].c, JOBS * out_bytes), 0);
    }
    for (int i = 0; i < 3; i++) fv_free(j[i].c);
    fv_free(a.data);
    fv_free(b.data);
    fv_backend_dnnl.release();
}

typedef struct tiles {
    const fv_gemm_plan *full, *rest;
    const product *p;
    float *c;
    int64_t rows;
} tiles;

static void run_tile(int64_t task, void *arg) {
    const tiles *t = arg;
    const fv_gemm *g = &t->p->g;
    const int64_t row = task * t->rows;
    const fv_gemm_plan *plan = row + t->rows <= g->m ? t->full : t->rest;
    const float *a = (const float *)t->p->a.data + row * (g->trans_a ? 1 : g->lda);
    fv_backend_dnnl.gemm_run(plan, a, t->p->b.data, t->p->bias.data, t->c + row * g->ldc);
}

static void run_tiled(const product *p, int64_t rows, int threads, float *c) {
    tiles t = {.p = p, .c = c, .rows = rows};
    fv_gemm g = p->g;

    fv_backend_dnnl.release();
    fv_threads_set(threads);
    g.m = rows;
    cr_assert_eq(fv_backend_dnnl.gemm_find(&g, &t.full), FV_OK);
    g.m = p->g.m % rows ? p->g.m % rows : rows;
    cr_assert_eq(fv_backend_dnnl.gemm_find(&g, &t.rest), FV_OK);
    fv_parallel((p->g.m + rows - 1) / rows, run_tile, &t);
}

static void check_thread_counts(void) {
    for (int trans = 0; trans < 2; trans++) {
        fv_gemm g = {.m = 500, .n = 96, .k = 192, .ldb = 192, .ldc = 96, .trans_b = 1, .bias = 1};
        g.trans_a = trans;
        g.lda = trans ? g.m : g.k;
        product p = make_product(&g);
        const size_t bytes = (size_t)(g.m * g.ldc) * sizeof(float);
        float *one = fv_calloc(1, bytes), *many = fv_calloc(1, bytes);
        run_tiled(&p, 197, 1, one);
        for (int threads = 2; threads <= 5; threads++) {
            memset(many, 0, bytes);
            run_tiled(&p, 197, threads, many);
            cr_assert_eq(memcmp(one, many, bytes), 0, "%d threads", threads);
        }
        memset(many, 0, bytes);
        run_tiled(&p, 500, 4, many); /* a single task while four threads are allowed */
        memset(one, 0, bytes);
        run_tiled(&p, 500, 1, one);
        cr_assert_eq(memcmp(one, many, bytes), 0, "single task");
        fv_free(one);
        fv_free(many);
        free_product(&p);
    }
    fv_backend_dnnl.release();
}

Test(core_backend, tiles_have_equal_bits_on_any_number_of_threads) { check_thread_counts(); }
Test(core_backend, tiles_below_avx512, .init = set_avx2) { check_thread_counts(); }

/* Outside of a task the budget must not reach oneDNN either: its plain product splits a long k by the
 * number of threads. */
static void check_direct_runs(int32_t trans_a) {
    fv_gemm g = {.m = 8, .n = 8, .k = 3072, .ldb = 8, .ldc = 8, .trans_a = trans_a};
    float c[5][64];

    g.lda = trans_a ? g.m : g.k;
    product p = make_product(&g);
    for (int threads = 1; threads <= 4; threads++) {
        const fv_gemm_plan *plan;
        fv_threads_set(threads);
        cr_assert_eq(fv_backend_dnnl.gemm_find(&g, &plan), FV_OK);
        cr_assert_eq(fv_backend_dnnl.gemm_run(plan, p.a.data, p.b.data, NULL, c[threads]), FV_OK);
        cr_assert_eq(memcmp(c[1], c[threads], sizeof c[1]), 0, "%d threads", threads);
        fv_backend_dnnl.release();
    }
    free_product(&p);
}

Test(core_backend, direct_runs_have_equal_bits) {
    check_direct_runs(0);
    check_direct_runs(1);
}

Test(core_backend, direct_runs_below_avx512, .init = set_avx2) {
    check_direct_runs(0);
    check_direct_runs(1);
}

/* A step must not fall to an implementation without blocking or vectors. */
static void check_implementation(fv_gemm g) {
    const fv_gemm_plan *plan;
    cr_assert_eq(fv_backend_dnnl.gemm_find(&g, &plan), FV_OK, "%s", fv_error_message());
    const char *name = fv_backend_dnnl.gemm_implementation(plan);
    cr_assert_neq(strncmp(name, "ref", 3), 0, "%dx%dx%d t%d%d: %s", (int)g.m, (int)g.n, (int)g.k,
                  g.trans_a, g.trans_b, name);
}

static void check_model_shapes(fv_dtype ab) {
    const int64_t t = 197, c = 192;
    const fv_gemm shapes[] = {
        {.m = t, .n = 3 * c, .k = c, .lda = c, .ldb = c, .ldc = 3 * c, .trans_b = 1, .bias = 1},
        {.m = t, .n = 4 * c, .k = c, .lda = 3 * c, .ldb = c, .ldc = 4 * c, .trans_b = 1},
        {.m = t, .n = c, .k = 4 * c, .lda = 4 * c, .ldb = c, .ldc = c}, /* dgrad */
        {.m = 4 * c,
         .n = c,
         .k = 8 * t,
         .lda = 4 * c,
         .ldb = c,
         .ldc = c,
         .trans_a = 1}, /* wgrad */
        {.m = c, .n = c, .k = 8 * t, .lda = c, .ldb = c, .ldc = c, .trans_a = 1, .accumulate = 1},
        {.m = t,
         .n = t,
         .k = 64,
         .lda = 3 * c,
         .ldb = 3 * c,
         .ldc = t,
         .trans_b = 1,
         .alpha = 0.125f}, /* scores of one head inside qkv */
        {.m = t, .n = 64, .k = t, .lda = t, .ldb = 3 * c, .ldc = c},
        {.m = t,
         .n = 1000,
         .k = c,
         .lda = c,
         .ldb = c,
         .ldc = 1000,
         .trans_b = 1,
         .bias = 1,
         .alpha = 0.5f}};

    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        fv_gemm g = shapes[i];
        g.ab = ab;
        check_implementation(g);
        if (ab == FV_BF16 && !g.accumulate) {
            g.c = FV_BF16;
            check_implementation(g);
        }
    }
    fv_backend_dnnl.release();
}

Test(core_backend, no_reference_implementation_on_hot_paths) {
    check_model_shapes(FV_F32);
    check_model_shapes(FV_BF16);
}

/* bf16 is widened there, for the products of f32. */
Test(core_backend, no_reference_implementation_below_avx512, .init = set_avx2) {
    if (fv_cpu_flags() & FV_CPU_AVX2) check_model_shapes(FV_F32);
}
