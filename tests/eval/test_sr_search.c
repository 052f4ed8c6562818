/* Nearest patches by products against all direct distances in double. */
#include "core/alloc.h"
#include "core/backend/backend.h"
#include "core/parallel.h"
#include "eval/saliency/sr_stages.h"
#include "tests/support/sr_input.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ROWS 29
#define COLS 37

static float pixels[ROWS * COLS * 3], mean[ROWS * COLS], other[ROWS * COLS];

static int ascending(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double pixel(const fv_sr_image *f, int64_t y, int64_t x, int64_t c) {
    y = y < 0 ? 0 : y >= f->H ? f->H - 1 : y;
    x = x < 0 ? 0 : x >= f->W ? f->W - 1 : x;
    return (double)f->data[(y * f->W + x) * f->C + c];
}

/* All distances of the query at (y,x), sorted, to the patches of one image. */
static double direct_mean(const fv_sr_image *f, const fv_sr_search_spec *s, int64_t y, int64_t x) {
    static double d[ROWS * COLS];
    const int64_t r = s->u / 2, step = (s->u - 1) / 2, longer = f->H > f->W ? f->H : f->W;
    int64_t n = 0;

    for (int64_t cy = r; cy + r < f->H; cy += step)
        for (int64_t cx = r; cx + r < f->W; cx += step) {
            double sum = 0.0;
            for (int64_t i = -r; i <= r; i++)
                for (int64_t j = -r; j <= r; j++)
                    for (int64_t c = 0; c < f->C; c++) {
                        const double t = pixel(f, y + i, x + j, c) - pixel(f, cy + i, cx + j, c);
                        sum += t * t;
                    }
            d[n++] = sqrt(sum) /
                     (1.0 + s->c * hypot((double)(y - cy), (double)(x - cx)) / (double)longer);
        }
    qsort(d, (size_t)n, sizeof *d, ascending);
    const int64_t k = s->k < n ? s->k : n;
    double sum = 0.0;
    for (int64_t i = 0; i < k; i++) sum += d[i] / (double)k;
    return sum;
}

static void run(const fv_sr_image *f, const fv_sr_search_spec *s, float *out) {
    fv_sr_patches candidates = {0};

    cr_assert_eq(fv_sr_patches_add(&candidates, f, s->u, &s->frame), FV_OK);
    cr_assert_eq(fv_sr_search(f, &candidates, s, out), FV_OK, "%s", fv_error_message());
    fv_sr_patches_release(&candidates);
}

static fv_sr_search_spec spec_of(int64_t u, int64_t k, int64_t stride) {
    return (fv_sr_search_spec){
        .u = u, .k = k, .stride = stride, .c = 3.0, .frame = {(double)ROWS / COLS, 1.0}};
}

/* Error relative to the largest distance: where products alone give 1e-3, direct distances 1e-6. */
static void check(const fv_sr_image *f, const fv_sr_search_spec *s, const char *what) {
    const int64_t w = (COLS + s->stride - 1) / s->stride, h = (ROWS + s->stride - 1) / s->stride;
    double worst = 0.0, largest = 0.0;

    run(f, s, mean);
    for (int64_t i = 0; i < h * w; i++) {
        const double want = direct_mean(f, s, i / w * s->stride, i % w * s->stride);
        worst = fmax(worst, fabs((double)mean[i] - want));
        largest = fmax(largest, want);
    }
    cr_assert_leq(worst, 1e-6 * largest, "%s u %d k %d: %g of %g", what, (int)s->u, (int)s->k,
                  worst, largest);
}

Test(eval_sr_search, matches_direct_distances) {
    const int64_t cases[][3] = {{7, 64, 1}, {7, 1, 1}, {5, 16, 1}, {3, 200, 2}, {7, 4000, 3}};

    for (int i = 0; i < 5; i++)
        for (int64_t C = 1; C <= 3; C += 2) {
            const fv_sr_search_spec s = spec_of(cases[i][0], cases[i][1], cases[i][2]);
            const fv_sr_image f = {ROWS, COLS, C, pixels};
            sr_noise(pixels, ROWS * COLS * C, (uint32_t)i);
            check(&f, &s, "noise");
        }
}

/* Flat ground far from zero: the products hold nothing but rounding there. */
Test(eval_sr_search, cancellation_does_not_show) {
    const fv_sr_search_spec s = spec_of(7, 40, 1);
    const fv_sr_image f = {ROWS, COLS, 1, pixels};

    sr_noise(pixels, ROWS * COLS, 1);
    for (int i = 0; i < ROWS * COLS; i++)
        pixels[i] = 100.0f + (i % COLS < 2 * COLS / 3 ? 0.0f : 0.1f * pixels[i]);
    check(&f, &s, "flat");
    cr_assert_eq(mean[10 * COLS + 8], 0.0f, "a patch of a flat zone has equal ones");
    sr_noise(pixels, ROWS * COLS, 2);
    for (int i = 0; i < ROWS * COLS; i++)
        pixels[i] = 100.0f + (i % COLS < 8 ? 1.0f : 1e-4f) * pixels[i];
    check(&f, &s, "nearly flat");
}

Test(eval_sr_search, threads_and_backends_give_the_same_bits) {
    const fv_sr_search_spec s = spec_of(7, 64, 1);
    const fv_sr_image f = {ROWS, COLS, 3, pixels};

    sr_noise(pixels, ROWS * COLS * 3, 3);
    for (int i = 0; i < ROWS * COLS * 3; i += 2) pixels[i] = 0.5f; /* ties */
    fv_threads_set(1);
    run(&f, &s, mean);
    for (int threads = 2; threads <= 5; threads++) {
        fv_threads_set(threads);
        run(&f, &s, other);
        cr_assert_eq(memcmp(mean, other, sizeof mean), 0, "%d threads", threads);
    }
    fv_backend_use(&fv_backend_ref);
    run(&f, &s, other);
    fv_backend_use(NULL);
    cr_assert_eq(memcmp(mean, other, sizeof mean), 0, "the reference backend");
    fv_threads_set(0);
}

Test(eval_sr_search, candidates_that_do_not_fit_are_errors) {
    fv_sr_search_spec s = spec_of(7, 64, 1);
    fv_sr_image f = {ROWS, COLS, 1, pixels}, small = {6, 40, 1, pixels};
    fv_sr_patches candidates = {0};

    cr_assert_eq(fv_sr_patches_add(&candidates, &small, 7, &s.frame), FV_OK);
    cr_assert_eq(candidates.n, 0, "no patch of 7 fits into 6 rows");
    cr_assert_eq(fv_sr_search(&f, &candidates, &s, mean), FV_ERR_SHAPE);
    cr_assert_eq(fv_sr_patches_add(&candidates, &f, 7, &s.frame), FV_OK);
    cr_assert_eq(candidates.n, 8 * 11);
    s.u = 5;
    cr_assert_eq(fv_sr_search(&f, &candidates, &s, mean), FV_ERR_SHAPE);
    f.C = 3;
    cr_assert_eq(fv_sr_patches_add(&candidates, &f, 7, &s.frame), FV_ERR_SHAPE);
    fv_sr_patches_release(&candidates);
}
