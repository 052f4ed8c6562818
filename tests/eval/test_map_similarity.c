/* Similarity of maps, class sensitivity, and the comparison of randomised models. */
#include "eval/saliency/map_similarity.h"

#include "eval/saliency/metric_randomisation.h"
#include "tests/support/alloc_sweep.h"
#include "tests/support/linear_scorer.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#define CHECK(status) cr_assert_eq((status), FV_OK, "%s", fv_error_message())
#define H             11
#define W             9
#define N             (H * W)

static float a[N], b[N];

static void setup(void) {
    random_floats(1, N, a);
    random_floats(2, N, b);
}

Test(eval_map_similarity, a_map_is_like_itself, .init = setup) {
    fv_map_similarity s;

    CHECK(fv_map_compare(a, a, H, W, &s));
    cr_expect_float_eq(s.spearman, 1, 1e-14);
    cr_expect_float_eq(s.spearman_abs, 1, 1e-14);
    cr_expect_float_eq(s.ssim, 1, 1e-14);
    cr_expect(!s.constant && !s.constant_abs);
}

Test(eval_map_similarity, sign_and_scale, .init = setup) {
    fv_map_similarity s;

    for (int i = 0; i < N; i++) b[i] = -4 * a[i];
    CHECK(fv_map_compare(a, b, H, W, &s));
    cr_expect_float_eq(s.spearman, -1, 1e-14);
    cr_expect_float_eq(s.spearman_abs, 1, 1e-14);
    cr_expect_float_eq(s.ssim, 1, 1e-14);
}

/* Independent maps: Spearman 0 give or take 1 / sqrt(98). */
Test(eval_map_similarity, independent_maps_are_not_alike, .init = setup) {
    fv_map_similarity s;

    CHECK(fv_map_compare(a, b, H, W, &s));
    cr_expect_lt(fabs(s.spearman), 0.4);
    cr_expect_lt(s.ssim, 0.6);
}

/* One window: means 1/2 and 1/4, no variance in the second. */
Test(eval_map_similarity, ssim_by_hand) {
    float x[49], y[49];
    double out, c1 = 1e-4, c2 = 9e-4;

    for (int i = 0; i < 49; i++) {
        x[i] = i == 0 ? 0.5f : i % 2 ? 0.25f : 0.75f;
        y[i] = 0.25f;
    }
    const double variance = 48 * 0.0625 / 48;
    CHECK(fv_ssim(x, y, 7, 7, 1, &out));
    cr_expect_float_eq(out, (0.25 + c1) * c2 / ((0.25 + 0.0625 + c1) * (variance + c2)), 1e-12);
    /* The constants follow the range. */
    CHECK(fv_ssim(x, y, 7, 7, 2, &out));
    c1 *= 4, c2 *= 4;
    cr_expect_float_eq(out, (0.25 + c1) * c2 / ((0.25 + 0.0625 + c1) * (variance + c2)), 1e-12);
}

Test(eval_map_similarity, constant_maps_are_said_to_be, .init = setup) {
    fv_map_similarity s;

    for (int i = 0; i < N; i++) b[i] = i % 2 ? 1 : -1;
    CHECK(fv_map_compare(a, b, H, W, &s));
    cr_expect(!s.constant && s.constant_abs);
    cr_expect_eq(s.spearman_abs, 0);
    memset(b, 0, sizeof b);
    CHECK(fv_map_compare(a, b, H, W, &s));
    cr_expect(s.constant && s.constant_abs);
    cr_expect_eq(s.spearman, 0);
    cr_expect(isfinite(s.ssim));
}

Test(eval_map_similarity, bad_maps_are_refused, .init = setup) {
    fv_map_similarity s;
    double out;

    cr_expect_eq(fv_map_compare(a, b, 6, W, &s), FV_ERR_SHAPE);
    cr_expect_eq(fv_ssim(a, b, 7, 6, 1, &out), FV_ERR_SHAPE);
    b[5] = INFINITY;
    cr_expect_eq(fv_map_compare(a, b, H, W, &s), FV_ERR_NONFINITE);
    cr_expect_eq(fv_map_compare(b, a, H, W, &s), FV_ERR_NONFINITE);
}

Test(eval_map_similarity, class_sensitivity_is_signed, .init = setup) {
    double out;
    bool constant;

    CHECK(fv_class_sensitivity(a, a, N, &out, &constant));
    cr_expect_float_eq(out, 1, 1e-14);
    cr_expect(!constant);
    for (int i = 0; i < N; i++) b[i] = -a[i];
    CHECK(fv_class_sensitivity(a, b, N, &out, &constant));
    cr_expect_float_eq(out, -1, 1e-14);
    memset(b, 0, sizeof b);
    CHECK(fv_class_sensitivity(a, b, N, &out, &constant));
    cr_expect_eq(out, 0);
    cr_expect(constant);
    b[1] = NAN;
    cr_expect_eq(fv_class_sensitivity(a, b, N, &out, &constant), FV_ERR_NONFINITE);
}

/* ---- randomisation: the map dissolves into noise, stage by stage ---- */

typedef struct fading {
    int64_t expected, fail_at;
} fading;

static fv_status faded(void *user, int64_t stage, float *map) {
    fading *f = user;

    cr_assert_eq(stage, f->expected++, "stages come in order");
    if (stage == f->fail_at) return FV_FAIL(FV_ERR_IO, "no map");
    for (int i = 0; i < N; i++)
        map[i] = (1 - 0.5f * (float)stage) * a[i] + 0.5f * (float)stage * b[i];
    return FV_OK;
}

Test(eval_map_similarity, stages_are_compared_with_the_original, .init = setup) {
    fv_map_similarity s[3], direct;
    fading f = {.fail_at = -1};

    CHECK(fv_randomisation_compare(a, H, W, 3, faded, &f, s));
    cr_expect_float_eq(s[0].spearman, 1, 1e-14);
    cr_expect(s[1].spearman < 1 && s[1].spearman > s[2].spearman);
    CHECK(fv_map_compare(a, b, H, W, &direct));
    cr_expect_eq(s[2].spearman, direct.spearman);
    cr_expect_eq(s[2].ssim, direct.ssim);
}

Test(eval_map_similarity, a_failing_stage_is_named, .init = setup) {
    fv_map_similarity s[3];
    fading f = {.fail_at = 1};

    cr_expect_eq(fv_randomisation_compare(a, H, W, 3, faded, &f, s), FV_ERR_IO);
    cr_expect(strstr(fv_error_message(), "stage 1"), "%s", fv_error_message());
}

static fv_status compare(void *arg) {
    fv_map_similarity s[2];
    fading f = {.fail_at = -1};
    double out;
    bool constant;

    (void)arg;
    FV_TRY(fv_class_sensitivity(a, b, N, &out, &constant));
    return fv_randomisation_compare(a, H, W, 2, faded, &f, s);
}

Test(eval_map_similarity, survives_failing_allocations, .init = setup) {
    cr_expect_eq(alloc_sweep(compare, NULL, NULL), FV_OK, "%s", fv_error_message());
}
