#include "eval/saliency/metric_pointing.h"

#include "eval/saliency/metric.h"
#include "tests/support/alloc_sweep.h"

#include <criterion/criterion.h>
#include <math.h>

#define CHECK(status) cr_assert_eq((status), FV_OK, "%s", fv_error_message())
#define SIDE          40
#define N             (SIDE * SIDE)

static uint8_t mask[N];
static float map[N];

static double run(const fv_metric_setting *setting) {
    const fv_metric_context context = {.height = SIDE,
                                       .width = SIDE,
                                       .map = map,
                                       .mask = mask,
                                       .settings = setting,
                                       .n_settings = setting != NULL};
    const fv_metric *metric;
    double out = -1;

    CHECK(fv_metric_find("pointing", &metric));
    CHECK(fv_metric_run(metric, &context, &out));
    return out;
}

Test(eval_metric_pointing, the_first_of_equal_maxima_counts) {
    cr_expect_eq(fv_arg_max((float[]){-3, -1, -2, -1}, 4), 1);
    cr_expect_eq(fv_arg_max((float[]){0}, 1), 0);
}

/* The mask is one pixel at (20,20); distances are strict. */
Test(eval_metric_pointing, tolerance_is_a_strict_distance) {
    mask[20 * SIDE + 20] = 1;
    cr_expect(fv_pointing_hit(mask, SIDE, SIDE, 20, 20, 0));
    cr_expect(!fv_pointing_hit(mask, SIDE, SIDE, 20, 21, 0));
    cr_expect(!fv_pointing_hit(mask, SIDE, SIDE, 20, 21, 1));
    cr_expect(fv_pointing_hit(mask, SIDE, SIDE, 20, 21, 1.001));
    cr_expect(!fv_pointing_hit(mask, SIDE, SIDE, 29, 32, 15)); /* 9, 12, 15 */
    cr_expect(fv_pointing_hit(mask, SIDE, SIDE, 29, 31, 15));
    cr_expect(!fv_pointing_hit(mask, SIDE, SIDE, 5, 20, 15));
    cr_expect(fv_pointing_hit(mask, SIDE, SIDE, 6, 20, 15));
}

Test(eval_metric_pointing, a_perfect_map_hits) {
    for (int i = 0; i < N; i++) mask[i] = i / SIDE < 4 && i % SIDE < 5;
    for (int i = 0; i < N; i++) map[i] = mask[i];
    cr_expect_eq(run(NULL), 1);
    cr_expect_eq(run(&(fv_metric_setting){"pointing_tolerance", 0}), 1);
    for (int i = 0; i < N; i++) map[i] = i == N - 1;
    cr_expect_eq(run(NULL), 0);
    for (int i = 0; i < N; i++) mask[i] = 0;
    cr_expect(isnan(run(NULL)));
}

/* One high pixel off the object against a broad hill on it. */
Test(eval_metric_pointing, smoothing_prefers_hills_to_pixels) {
    for (int i = 0; i < N; i++) {
        mask[i] = i / SIDE < 6 && i % SIDE < 6;
        map[i] = mask[i] ? 1.0f : i == 30 * SIDE + 30 ? 2.0f : 0.0f;
    }
    cr_expect_eq(run(NULL), 0);
    cr_expect_eq(run(&(fv_metric_setting){"pointing_smoothing", 0.05}), 1);
}

static fv_status smoothed(void *arg) {
    const fv_metric_setting setting = {"pointing_smoothing", 0.05};
    const fv_metric_context context = {.height = SIDE,
                                       .width = SIDE,
                                       .map = map,
                                       .mask = mask,
                                       .settings = &setting,
                                       .n_settings = 1};
    double out;
    return fv_metric_run(arg, &context, &out);
}

Test(eval_metric_pointing, survives_failing_allocations) {
    const fv_metric *metric;

    CHECK(fv_metric_find("pointing", &metric));
    cr_expect_eq(alloc_sweep(smoothed, (void *)(uintptr_t)metric, NULL), FV_OK, "%s",
                 fv_error_message());
}
