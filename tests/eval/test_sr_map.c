/* Salient relevance as a whole: identities, determinism, and inputs it must refuse.  Its numbers are
 * compared stage by stage by the golden runner. */
#include "core/alloc.h"
#include "core/parallel.h"
#include "eval/saliency/sr_stages.h"
#include "tests/support/alloc_sweep.h"
#include "tests/support/sr_input.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#define ROWS 40
#define COLS 32

static float relevance[ROWS * COLS * 3], sr[ROWS * COLS], other[ROWS * COLS];

static void compute(const fv_sr_options *options, float *out) {
    fv_sr_result r;

    cr_assert_eq(fv_sr_map(relevance, ROWS, COLS, options, &r, out), FV_OK, "%s",
                 fv_error_message());
    fv_sr_result_release(&r);
}

Test(eval_sr_map, constant_map_gives_zero) {
    for (int i = 0; i < ROWS * COLS * 3; i++) relevance[i] = 0.4f;
    for (int kind = 0; fv_sr_feature_name((fv_sr_feature_kind)kind); kind++) {
        const fv_sr_options o = {.feature = (fv_sr_feature_kind)kind, .stages = true};
        fv_sr_result r;
        cr_assert_eq(fv_sr_map(relevance, ROWS, COLS, &o, &r, sr), FV_OK);
        for (int i = 0; i < ROWS * COLS; i++) {
            cr_assert_eq(sr[i], 0.0f);
            cr_assert_eq(r.mean[i], 0.0f);
            cr_assert_eq(r.attended[i], 0);
            cr_assert_eq(r.distance[i], 0.0f);
        }
        fv_sr_result_release(&r);
    }
}

Test(eval_sr_map, what_is_unlike_the_rest_stands_out) {
    int64_t best = 0;

    sr_spot(relevance, ROWS, COLS, 0.0f, 1);
    compute(NULL, sr);
    for (int64_t i = 1; i < ROWS * COLS; i++)
        if (sr[i] > sr[best]) best = i;
    const double dy = (double)(best / COLS - ROWS / 2), dx = (double)(best % COLS - COLS / 3);
    cr_assert_leq(hypot(dy, dx), COLS / 4.0, "the maximum is at %d,%d", (int)(best / COLS),
                  (int)(best % COLS));
    cr_assert_lt(sr[0], 0.1f * sr[best]);
    for (int i = 0; i < ROWS * COLS; i++) cr_assert(sr[i] >= 0.0f && sr[i] < 1.0f);
}

/* Min-max and |R| take a factor out; powers of two do so to the bit. */
Test(eval_sr_map, a_factor_changes_nothing) {
    for (int kind = 0; kind < 2; kind++) {
        const fv_sr_options o = {.feature = (fv_sr_feature_kind)kind, .work_side = 24};
        sr_noise(relevance, ROWS * COLS * 3, 2);
        compute(&o, sr);
        for (int i = 0; i < ROWS * COLS * 3; i++) relevance[i] *= -8.0f;
        compute(&o, other);
        cr_assert_eq(memcmp(sr, other, sizeof sr), 0);
    }
}

Test(eval_sr_map, transposing_commutes) {
    static float turned[ROWS * COLS * 3];
    fv_sr_result r;

    sr_spot(relevance, ROWS, COLS, 0.1f, 3);
    compute(NULL, sr);
    for (int y = 0; y < ROWS; y++)
        for (int x = 0; x < COLS; x++)
            memcpy(turned + 3 * (x * ROWS + y), relevance + 3 * (y * COLS + x), 3 * sizeof *turned);
    cr_assert_eq(fv_sr_map(turned, COLS, ROWS, NULL, &r, other), FV_OK);
    for (int y = 0; y < ROWS; y++)
        for (int x = 0; x < COLS; x++)
            cr_assert(fabsf(sr[y * COLS + x] - other[x * ROWS + y]) <= 2e-6f);
    fv_sr_result_release(&r);
}

Test(eval_sr_map, threads_do_not_change_the_bits) {
    const fv_sr_options o = {.feature = FV_SR_CODE, .foci_per_scale = true};

    sr_spot(relevance, ROWS, COLS, 0.0f, 4);
    fv_threads_set(1);
    compute(&o, sr);
    for (int threads = 2; threads <= 4; threads++) {
        fv_threads_set(threads);
        compute(&o, other);
        cr_assert_eq(memcmp(sr, other, sizeof sr), 0, "%d threads", threads);
    }
    fv_threads_set(0);
}

/* With one scale, foci per scale are the foci. */
Test(eval_sr_map, one_scale_has_one_set_of_foci) {
    fv_sr_options o = {.scale = {0.8}, .n_scales = 1};

    sr_spot(relevance, ROWS, COLS, 0.0f, 5);
    compute(&o, sr);
    o.foci_per_scale = true;
    compute(&o, other);
    cr_assert_eq(memcmp(sr, other, sizeof sr), 0);
}

Test(eval_sr_map, defaults_are_what_they_are_said_to_be) {
    const fv_sr_options o = {.patch = 7,
                             .k = 64,
                             .c = 3.0,
                             .scale = {1.0, 0.8, 0.5, 0.3},
                             .n_scales = 4,
                             .tau = 0.8,
                             .work_side = 250,
                             .stride = 1};
    sr_noise(relevance, ROWS * COLS * 3, 6);
    compute(NULL, sr);
    compute(&o, other);
    cr_assert_eq(memcmp(sr, other, sizeof sr), 0);
}

Test(eval_sr_map, stages_only_when_asked) {
    fv_sr_options o = {.feature = FV_SR_CODE, .work_side = 20};
    fv_sr_result r;

    sr_noise(relevance, ROWS * COLS * 3, 7);
    cr_assert_eq(fv_sr_map(relevance, ROWS, COLS, &o, &r, sr), FV_OK);
    cr_assert(!r.feature && !r.per_scale && !r.mean && !r.attended && !r.distance);
    cr_assert(r.height == 20 && r.width == 16 && r.channels == 3 && r.n_scales == 4);
    cr_assert(!r.approximate);
    fv_sr_result_release(&r);
    o.stages = true;
    cr_assert_eq(fv_sr_map(relevance, ROWS, COLS, &o, &r, other), FV_OK);
    cr_assert(r.feature && r.per_scale && r.mean && r.attended && r.distance);
    cr_assert_eq(memcmp(sr, other, sizeof sr), 0);
    fv_sr_result_release(&r);
    o.foci_per_scale = true;
    cr_assert_eq(fv_sr_map(relevance, ROWS, COLS, &o, &r, sr), FV_OK);
    cr_assert(r.mean && !r.attended && !r.distance);
    fv_sr_result_release(&r);
}

/* A map over the work side is the small map, enlarged. */
Test(eval_sr_map, work_side_limits_the_work) {
    fv_sr_options o = {.work_side = 20, .stages = true};
    fv_sr_image back;
    fv_sr_result r;

    sr_spot(relevance, ROWS, COLS, 0.0f, 8);
    cr_assert_eq(fv_sr_map(relevance, ROWS, COLS, &o, &r, sr), FV_OK);
    for (int i = 0; i < 20 * 16; i++) r.mean[i] *= 1.0f - r.distance[i];
    const fv_sr_image small = {20, 16, 1, r.mean};
    cr_assert_eq(fv_sr_resize(&small, ROWS, COLS, &back), FV_OK);
    for (int i = 0; i < ROWS * COLS; i++) cr_assert(fabsf(sr[i] - back.data[i]) <= 1e-6f);
    fv_sr_image_release(&back);
    fv_sr_result_release(&r);
    o.work_side = -1;
    cr_assert_eq(fv_sr_map(relevance, ROWS, COLS, &o, &r, sr), FV_OK);
    cr_assert(r.height == ROWS && r.width == COLS);
    fv_sr_result_release(&r);
}

Test(eval_sr_map, stride_is_approximate_and_says_so) {
    fv_sr_options o = {.stages = true};
    fv_sr_result exact, coarse;
    double difference = 0.0, sum = 0.0;

    sr_spot(relevance, ROWS, COLS, 0.0f, 9);
    cr_assert_eq(fv_sr_map(relevance, ROWS, COLS, &o, &exact, sr), FV_OK);
    o.stride = 2;
    cr_assert_eq(fv_sr_map(relevance, ROWS, COLS, &o, &coarse, other), FV_OK);
    cr_assert(coarse.approximate && !exact.approximate);
    for (int y = 0; y < ROWS; y++)
        for (int x = 0; x < COLS; x++) {
            /* at scale 1 the queries themselves are exact */
            if (y % 2 == 0 && x % 2 == 0)
                cr_assert_eq(exact.per_scale[y * COLS + x], coarse.per_scale[y * COLS + x]);
            difference +=
                fabs((double)exact.mean[y * COLS + x] - (double)coarse.mean[y * COLS + x]);
            sum += (double)exact.mean[y * COLS + x];
        }
    cr_assert_leq(difference, 0.1 * sum);
    fv_sr_result_release(&exact);
    fv_sr_result_release(&coarse);
}

Test(eval_sr_map, bad_input_is_an_ordinary_error) {
    fv_sr_result r;

    sr_noise(relevance, ROWS * COLS * 3, 10);
    cr_assert_eq(fv_sr_map(relevance, 6, 40, NULL, &r, sr), FV_ERR_SHAPE);
    cr_assert_eq(fv_sr_map(relevance, 7, 7, NULL, &r, sr), FV_OK, "one patch is enough");
    fv_sr_result_release(&r);
    cr_assert_eq(fv_sr_map(relevance, 0, 40, NULL, &r, sr), FV_ERR_SHAPE);
    cr_assert_eq(fv_sr_map(relevance, ROWS, COLS, &(fv_sr_options){.work_side = 8}, &r, sr),
                 FV_ERR_SHAPE, "8 x 6");
    relevance[77] = NAN;
    cr_assert_eq(fv_sr_map(relevance, ROWS, COLS, NULL, &r, sr), FV_ERR_NONFINITE);
    relevance[77] = -INFINITY;
    cr_assert_eq(fv_sr_map(relevance, ROWS, COLS, NULL, &r, sr), FV_ERR_NONFINITE);
    cr_assert(!r.feature && !r.mean);
}

Test(eval_sr_map, options_out_of_range_are_errors) {
    const fv_sr_options bad[] = {{.patch = 6},
                                 {.patch = 33},
                                 {.patch = -7},
                                 {.k = -1},
                                 {.k = 5000},
                                 {.c = -1.0},
                                 {.c = NAN},
                                 {.tau = 1.0},
                                 {.tau = NAN},
                                 {.work_side = -2},
                                 {.stride = 9},
                                 {.n_scales = 1},
                                 {.n_scales = 1, .scale = {0.1}},
                                 {.n_scales = 1, .scale = {NAN}},
                                 {.n_scales = FV_SR_MAX_SCALES + 1},
                                 {.feature = (fv_sr_feature_kind)9}};
    fv_sr_result r;

    sr_noise(relevance, ROWS * COLS * 3, 11);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_assert_eq(fv_sr_map(relevance, ROWS, COLS, &bad[i], &r, sr), FV_ERR_CONFIG, "case %zu",
                     i);
}

static fv_status work(void *arg) {
    const fv_sr_options o = {.feature = FV_SR_CODE, .work_side = 16, .n_scales = 1, .scale = {1.0}};
    fv_sr_result r;

    (void)arg;
    fv_scratch_release();
    const fv_status status = fv_sr_map(relevance, ROWS, COLS, &o, &r, sr);
    fv_sr_result_release(&r);
    return status;
}

Test(eval_sr_map, every_failing_allocation_is_an_error) {
    sr_noise(relevance, ROWS * COLS * 3, 12);
    fv_threads_set(1);
    cr_assert_eq(alloc_sweep(work, NULL, NULL), FV_OK, "%s", fv_error_message());
    fv_threads_set(0);
}
