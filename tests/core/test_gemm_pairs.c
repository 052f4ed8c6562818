/* bf16 products in pairs: against double precision, packed and not, rows together and apart.  They run on every
 * CPU, with the kernels that it has; the backend chooses them where bf16 dot products make them fast. */
#include "core/alloc.h"
#include "core/backend/gemm_pairs.h"
#include "core/kernels/kernels.h"
#include "core/parallel.h"
#include "core/rng.h"

#include <criterion/criterion.h>

#include <math.h>
#include <string.h>

static uint64_t draws;

static int64_t draw(int64_t n) {
    const fv_rng_key key = {.seed = 11, .purpose = FV_RNG_TEST};
    return (int64_t)(fv_rng_uniform(&key, draws++) * (float)n);
}

static fv_bf16 *random_values(int64_t n, uint32_t layer) {
    const fv_rng_key key = {.seed = 12, .purpose = FV_RNG_TEST, .layer = layer};
    fv_bf16 *x = fv_alloc((size_t)n, sizeof *x);

    cr_assert(x);
    for (int64_t i = 0; i < n; i++) x[i] = fv_bf16_from_f32(fv_rng_normal(&key, (uint64_t)i));
    return x;
}

typedef struct product {
    fv_gemm g;
    fv_bf16 *a, *b;
    float bias[400];
} product;

static product make_product(const fv_gemm *g) {
    const fv_rng_key key = {.seed = 13, .purpose = FV_RNG_TEST};
    product p = {.g = *g,
                 .a = random_values((g->trans_a ? g->k : g->m) * g->lda, 1),
                 .b = random_values((g->trans_b ? g->n : g->k) * g->ldb, 2)};

    for (int64_t j = 0; j < g->n; j++) p.bias[j] = fv_rng_normal(&key, (uint64_t)j);
    return p;
}

static void free_product(product *p) {
    fv_free(p->a);
    fv_free(p->b);
}

static size_t c_bytes(const fv_gemm *g) { return (size_t)(g->m * g->ldc) * fv_dtype_bytes(g->c); }

/* C, from 1 in every element. */
static void *run(const product *p, const fv_gemm *g, const fv_bf16 *a) {
    fv_tensor c = {fv_alloc(1, c_bytes(g)), g->c, fv_shape_of(1, g->m * g->ldc)};
    fv_bf16 *packed = NULL;
    int n_lanes = 0;

    for (int64_t i = 0; i < g->m * g->ldc; i++) fv_tensor_set(&c, i, 1.0f);
    if (g->packed) {
        packed = fv_alloc(1, fv_gemm_pairs_bytes(g));
        memset(packed, 0xff, fv_gemm_pairs_bytes(g)); /* NaN: what is not packed must not count */
        for (int64_t first = (g->n - 1) / 64 * 64; first >= 0; first -= 64)
            fv_gemm_pairs_pack(g, p->b, first, g->n - first < 64 ? g->n - first : 64, packed);
    }
    cr_assert_eq(fv_gemm_pairs_equip(g, &n_lanes), FV_OK);
    cr_assert_eq(
        fv_gemm_pairs_run(g, n_lanes, a, packed ? packed : p->b, g->bias ? p->bias : NULL, c.data),
        FV_OK);
    fv_free(packed);
    return c.data;
}

static void compare(const product *p, const void *data) {
    const fv_gemm *g = &p->g;
    const fv_tensor c = {(void *)(uintptr_t)data, g->c, fv_shape_of(1, g->m * g->ldc)};

    for (int64_t i = 0; i < g->m; i++)
        for (int64_t j = 0; j < g->ldc; j++) {
            const double got = (double)fv_tensor_get(&c, i * g->ldc + j);
            double want = g->accumulate ? 1.0 : 0.0, size = 2.0;
            for (int64_t q = 0; j < g->n && q < g->k; q++) {
                const fv_bf16 a = p->a[g->trans_a ? q * g->lda + i : i * g->lda + q];
                const fv_bf16 b = p->b[g->trans_b ? j * g->ldb + q : q * g->ldb + j];
                const double term = (double)fv_bf16_to_f32(a) * (double)fv_bf16_to_f32(b);
                want += term;
                size += fabs(term);
            }
            if (j < g->n && g->bias) want += (double)p->bias[j];
            if (j >= g->n) want = 1.0;
            cr_assert(fabs(got - want) <=
                          1e-6 * size + (g->c == FV_BF16 ? 0.004 * fabs(want) : 0.0),
                      "%dx%dx%d t%d%d packed %d bias %d add %d at %d,%d: %g, not %g", (int)g->m,
                      (int)g->n, (int)g->k, g->trans_a, g->trans_b, g->packed, g->bias,
                      g->accumulate, (int)i, (int)j, got, want);
        }
}

static fv_gemm random_gemm(void) {
    static const int64_t sizes[] = {1, 2, 7, 12, 17, 63, 64, 65, 130, 200};
    fv_gemm g = {.m = sizes[draw(10)], .n = sizes[draw(10)], .k = sizes[draw(10)], .ab = FV_BF16};

    g.alpha = 1.0f;
    g.trans_a = (int32_t)draw(2);
    g.trans_b = (int32_t)draw(2);
    g.packed = (int32_t)draw(2);
    g.c = draw(2) ? FV_BF16 : FV_F32;
    g.accumulate = g.c == FV_F32 && draw(2);
    g.bias = (int32_t)draw(2);
    g.lda = (g.trans_a ? g.m : g.k) + draw(4);
    g.ldb = (g.trans_b ? g.k : g.n) + draw(4);
    g.ldc = g.n + draw(4);
    return g;
}

static void check_product(const fv_gemm *g) {
    product p = make_product(g);
    void *c = run(&p, g, p.a);

    compare(&p, c);
    fv_free(c);
    free_product(&p);
}

Test(core_gemm_pairs, products) {
    for (int i = 0; i < 200; i++) {
        const fv_gemm g = random_gemm();
        check_product(&g);
    }
    fv_gemm_pairs_release();
}

/* More rows, columns and summands than any block has. */
Test(core_gemm_pairs, large_products) {
    for (int bits = 0; bits < 16; bits++) {
        fv_gemm g = {.m = 203, .n = 391, .k = 301, .ab = FV_BF16, .alpha = 1.0f};
        g.trans_a = bits & 1;
        g.trans_b = bits >> 1 & 1;
        g.packed = bits >> 2 & 1;
        g.c = bits >> 3 & 1 ? FV_BF16 : FV_F32;
        g.lda = g.trans_a ? g.m : g.k;
        g.ldb = g.trans_b ? g.k : g.n;
        g.ldc = g.n;
        check_product(&g);
    }
    fv_gemm_pairs_release();
}

/* Packed or not, whole or row by row. */
Test(core_gemm_pairs, bits_depend_on_nothing_else) {
    for (int i = 0; i < 60; i++) {
        fv_gemm g = random_gemm();
        g.packed = 0;
        product p = make_product(&g);
        char *plain = run(&p, &g, p.a);
        fv_gemm other = g;
        other.packed = 1;
        char *packed = run(&p, &other, p.a);
        cr_assert_eq(memcmp(plain, packed, c_bytes(&g)), 0, "case %d", i);
        other.m = 1;
        for (int64_t r = 0; r < g.m; r += 5) {
            char *row = run(&p, &other, p.a + (g.trans_a ? r : r * g.lda));
            cr_assert_eq(memcmp(plain + (size_t)r * c_bytes(&other), row, c_bytes(&other)), 0,
                         "case %d, row %d", i, (int)r);
            fv_free(row);
        }
        fv_free(packed);
        fv_free(plain);
        free_product(&p);
    }
    fv_gemm_pairs_release();
}

Test(core_gemm_pairs, chosen_for_dot_products_of_pairs) {
    const bool wanted =
        (fv_cpu_flags() & (FV_CPU_AVX512_BF16 | FV_CPU_AMX_BF16)) == FV_CPU_AVX512_BF16;
    fv_gemm g = {.m = 8, .n = 80, .k = 32, .lda = 32, .ldb = 80, .ldc = 80, .ab = FV_BF16};
    const fv_gemm_plan *plan;

    cr_assert_eq(fv_backend_dnnl.gemm_find(&g, &plan), FV_OK);
    const bool chosen = strcmp(fv_backend_dnnl.gemm_implementation(plan), "fovea:pairs") == 0;
    cr_assert_eq(chosen, wanted);
    g.alpha = 0.5f; /* would round b */
    cr_assert_eq(fv_backend_dnnl.gemm_find(&g, &plan), FV_OK);
    cr_assert_neq(strcmp(fv_backend_dnnl.gemm_implementation(plan), "fovea:pairs"), 0);
    fv_backend_dnnl.release();
}
