/* Small products and transposes of every instruction set of this machine against double precision. */
#include "core/kernels/kernels.h"
#include "tests/support/kernel_check.h"

#include <criterion/criterion.h>

#include <string.h>

enum { MOST = 70, ROOM = (MOST + 3) * (MOST + 3) + PAD };

static float a[ROOM], b[ROOM], c[ROOM], start[MOST];

TestSuite(core_kernels_product, .init = kernel_check_start);

static void fill(float *x, uint32_t layer) {
    const fv_rng_key key = {.seed = 3, .purpose = FV_RNG_TEST, .layer = layer};
    for (int64_t i = 0; i < ROOM; i++) x[i] = fv_rng_normal(&key, (uint64_t)i);
}

static int64_t row_of(const fv_product *p, int64_t i) {
    return p->a_strip ? i / FV_STRIP_ROWS * p->a_strip + i % FV_STRIP_ROWS * p->a_row
                      : i * p->a_row;
}

/* Every element of C, and nothing between its rows. */
static void compare(const fv_kernels *k, const fv_product *p) {
    for (int64_t i = 0; i < ROOM; i++) c[i] = 0.5f;
    k->product(p, a, b, c);
    for (int64_t i = 0; i < p->m; i++)
        for (int64_t j = 0; j < p->ldc; j++) {
            double want = 0.5, size = 1.0;
            if (j < p->n) {
                if (!p->add) want = p->start ? (double)p->start[j] : 0.0;
                for (int64_t q = 0; q < p->k; q++) {
                    const double term =
                        (double)a[row_of(p, i) + q * p->a_column] * (double)b[q * p->ldb + j];
                    want += term;
                    size += fabs(term);
                }
            }
            check(k->isa, "product", p->n, i * p->ldc + j, (double)c[i * p->ldc + j], want,
                  4e-7 * size, 0.0);
        }
    for (int64_t i = p->m * p->ldc; i < ROOM; i++) cr_assert_eq(c[i], 0.5f, "%s", k->isa);
}

Test(core_kernels_product, product) {
    static const int64_t ms[] = {1, 2, 3, 4, 5, 6, 7, 8, 21}, ks[] = {0, 1, 5, 32};

    fill(a, 1);
    fill(b, 2);
    for (int64_t i = 0; i < MOST; i++) start[i] = a[i + 7];
    for (const fv_kernels *k = tables; k < tables + n_tables; k++)
        for (int64_t n = 1; n <= MOST; n++)
            for (size_t i = 0; i < sizeof ms / sizeof *ms; i++)
                for (size_t j = 0; j < sizeof ks / sizeof *ks; j++) {
                    fv_product p = {.m = ms[i],
                                    .n = n,
                                    .k = ks[j],
                                    .a_row = ks[j] + 2,
                                    .a_column = 1,
                                    .ldb = n + 1,
                                    .ldc = n + 3};
                    compare(k, &p);
                    p.a_row = 1; /* A transposed */
                    p.a_column = ms[i] + 1;
                    p.add = true;
                    compare(k, &p);
                    p.a_column = FV_STRIP_ROWS; /* strips of rows */
                    p.a_strip = ks[j] * FV_STRIP_ROWS + 1;
                    compare(k, &p);
                    p.add = false;
                    p.start = start;
                    compare(k, &p);
                }
}

/* Weights are packed in pieces of 64 columns (backend.h), which whole panels must fill. */
Test(core_kernels_product, panels_fill_the_pieces_that_weights_are_packed_in) {
    for (const fv_kernels *k = tables; k < tables + n_tables; k++)
        cr_assert(k->panel >= 1 && k->panel <= FV_PANEL_MOST && 64 % k->panel == 0, "%s", k->isa);
}

/* A tile's neighbours do not matter: rows and columns one by one give the same bits. */
Test(core_kernels_product, bits_do_not_depend_on_the_tile) {
    static float whole[21 * 70];
    const fv_product p = {
        .m = 21, .n = 70, .k = 19, .a_row = 19, .a_column = 1, .ldb = 70, .ldc = 70};

    fill(a, 1);
    fill(b, 2);
    for (const fv_kernels *k = tables; k < tables + n_tables; k++) {
        k->product(&p, a, b, whole);
        for (int64_t i = 0; i < 21; i++)
            for (int64_t j = 0; j < 70; j++) {
                fv_product one = p;
                one.m = one.n = 1;
                k->product(&one, a + i * 19, b + j, c);
                cr_assert_eq(memcmp(c, whole + i * 70 + j, sizeof *c), 0);
            }
    }
}

Test(core_kernels_product, transpose) {
    fill(a, 4);
    for (const fv_kernels *k = tables; k < tables + n_tables; k++)
        for (int64_t rows = 0; rows <= 40; rows++)
            for (int64_t columns = 0; columns <= 40; columns += 1 + columns / 3) {
                const int64_t ldx = columns + 1, ldy = rows + 2;
                for (int64_t i = 0; i < ROOM; i++) c[i] = MARK;
                k->transpose(rows, columns, a, ldx, c, ldy);
                for (int64_t j = 0; j <= columns; j++)
                    for (int64_t i = 0; i < ldy; i++) {
                        const float want = j < columns && i < rows ? a[i * ldx + j] : MARK;
                        cr_assert_eq(c[j * ldy + i], want, "%s %dx%d", k->isa, (int)rows,
                                     (int)columns);
                    }
            }
}
