/* Products of bf16 and the packing of pairs, of every instruction set of this machine. */
#include "core/kernels/kernels.h"
#include "tests/support/kernel_check.h"

#include <criterion/criterion.h>

#include <string.h>

enum { MOST = 70, ROOM = (MOST + 3) * (MOST + 3) * 2 };

static fv_bf16 a[ROOM], b[ROOM], narrow[ROOM], want[ROOM];
static float wide[ROOM], start[MOST];

TestSuite(core_kernels_pairs, .init = kernel_check_start);

static void fill(fv_bf16 *x, uint32_t layer) {
    const fv_rng_key key = {.seed = 3, .purpose = FV_RNG_TEST, .layer = layer};
    for (int64_t i = 0; i < ROOM; i++) x[i] = fv_bf16_from_f32(fv_rng_normal(&key, (uint64_t)i));
}

static double value(fv_bf16 x) { return (double)fv_bf16_to_f32(x); }

static double oracle(const fv_product *p, int64_t i, int64_t j, double *size) {
    double sum = p->add ? 0.5 : p->start ? (double)p->start[j] : 0.0;

    *size = 1.0;
    for (int64_t q = 0; q < p->k; q++) {
        const double term = value(a[i * p->a_row + q / 2 * p->a_column + q % 2]) *
                            value(b[q / 2 * p->ldb + 2 * j + q % 2]);
        sum += term;
        *size += fabs(term);
    }
    return sum;
}

/* Every element of C, and nothing between its rows. */
static void compare(const fv_kernels *k, const fv_product *p, fv_dtype type) {
    const fv_bf16 half = fv_bf16_from_f32(0.5f);

    for (int64_t i = 0; i < ROOM; i++) wide[i] = 0.5f, narrow[i] = half;
    k->product_bf16(p, a, b, type == FV_F32 ? (void *)wide : (void *)narrow, type);
    for (int64_t i = 0; i < p->m; i++)
        for (int64_t j = 0; j < p->ldc; j++) {
            const int64_t at = i * p->ldc + j;
            const double got = type == FV_F32 ? (double)wide[at] : value(narrow[at]);
            double size = 1.0;
            const double right = j < p->n ? oracle(p, i, j, &size) : 0.5;
            check(k->isa, "product_bf16", p->n, at, got, right, 4e-7 * size,
                  type == FV_F32 ? 0.0 : 0.004);
        }
    for (int64_t i = p->m * p->ldc; i < ROOM; i++)
        cr_assert(wide[i] == 0.5f && narrow[i] == half, "%s", k->isa);
}

/* What lies behind an odd last element and between columns is NaN. */
static void spoil(const fv_product *p) {
    const fv_bf16 nan = fv_bf16_from_f32(NAN);
    const int64_t pairs = (p->k + 1) / 2;

    fill(a, 1);
    fill(b, 2);
    for (int64_t q = 0; q < pairs; q++)
        for (int64_t j = 2 * p->n; j < p->ldb; j++) b[q * p->ldb + j] = nan;
    if (p->k % 2 == 0) return;
    for (int64_t i = 0; i < p->m; i++)
        if (p->a_column == 2) a[i * p->a_row + p->k] = nan;
    for (int64_t j = 0; j < p->n; j++) b[(pairs - 1) * p->ldb + 2 * j + 1] = 0;
}

Test(core_kernels_pairs, product) {
    static const int64_t ms[] = {1, 2, 3, 4, 5, 6, 7, 8, 21}, ks[] = {0, 1, 2, 5, 32};

    for (int64_t i = 0; i < MOST; i++) start[i] = 0.1f * (float)i;
    for (const fv_kernels *k = tables; k < tables + n_tables; k++)
        for (int64_t n = 1; n <= MOST; n++)
            for (size_t i = 0; i < sizeof ms / sizeof *ms; i++)
                for (size_t j = 0; j < sizeof ks / sizeof *ks; j++) {
                    fv_product p = {.m = ms[i],
                                    .n = n,
                                    .k = ks[j],
                                    .a_row = ks[j] + 2,
                                    .a_column = 2,
                                    .ldb = 2 * n + 1,
                                    .ldc = n + 3};
                    spoil(&p);
                    compare(k, &p, FV_F32);
                    compare(k, &p, FV_BF16);
                    p.start = start;
                    compare(k, &p, FV_BF16);
                    p.a_row = 2; /* A transposed */
                    p.a_column = 2 * ms[i] + 2;
                    compare(k, &p, FV_F32);
                    p.add = true;
                    compare(k, &p, FV_F32);
                }
}

/* A tile's neighbours do not matter: rows and columns one by one give the same bits. */
Test(core_kernels_pairs, bits_do_not_depend_on_the_tile) {
    static float whole[21 * 70];
    const fv_product p = {
        .m = 21, .n = 70, .k = 19, .a_row = 19, .a_column = 2, .ldb = 140, .ldc = 70};

    fill(a, 1);
    fill(b, 2);
    for (const fv_kernels *k = tables; k < tables + n_tables; k++) {
        k->product_bf16(&p, a, b, whole, FV_F32);
        for (int64_t i = 0; i < 21; i++)
            for (int64_t j = 0; j < 70; j++) {
                fv_product one = p;
                one.m = one.n = 1;
                k->product_bf16(&one, a + i * 19, b + 2 * j, wide, FV_F32);
                cr_assert_eq(memcmp(wide, whole + i * 70 + j, sizeof *wide), 0);
            }
    }
}

static void same(const fv_kernels *k, const char *what) {
    cr_assert_eq(memcmp(narrow, want, sizeof want), 0, "%s %s", k->isa, what);
}

static void start_over(void) {
    for (int64_t i = 0; i < ROOM; i++) narrow[i] = want[i] = 0x4321;
}

Test(core_kernels_pairs, pair_rows) {
    fill(a, 5);
    for (const fv_kernels *k = tables; k < tables + n_tables; k++)
        for (int64_t rows = 0; rows <= 5; rows++)
            for (int64_t columns = 0; columns <= 140; columns++) {
                const int64_t ldx = columns + 1, ldy = 2 * columns + 3;
                start_over();
                for (int64_t p = 0; p < rows + rows % 2; p++)
                    for (int64_t i = 0; i < columns; i++)
                        want[p / 2 * ldy + 2 * i + p % 2] = p < rows ? a[p * ldx + i] : 0;
                k->pair_rows(rows, columns, a, ldx, narrow, ldy);
                same(k, "pair_rows");
            }
}

Test(core_kernels_pairs, pair_columns) {
    fill(a, 6);
    for (const fv_kernels *k = tables; k < tables + n_tables; k++)
        for (int64_t rows = 0; rows <= 40; rows++)
            for (int64_t columns = 0; columns <= 70; columns += 1 + columns / 3) {
                const int64_t ldx = columns + 1, ldy = 2 * rows + 3;
                start_over();
                for (int64_t i = 0; i < rows; i++)
                    for (int64_t j = 0; j < columns + columns % 2; j++)
                        want[j / 2 * ldy + 2 * i + j % 2] = j < columns ? a[i * ldx + j] : 0;
                k->pair_columns(rows, columns, a, ldx, narrow, ldy);
                same(k, "pair_columns");
            }
}
