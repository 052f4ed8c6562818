/* Ranges of maps: normalised values against numbers computed in float64 elsewhere, and the edges. */
#include "core/safetensors.h"
#include "eval/saliency/heat_range.h"
#include "tests/support/alloc_sweep.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#define GOLDEN FOVEA_SOURCE_DIR "/tests/golden/saliency/render.safetensors"

static fv_heat_range range_of(const float *map, int64_t n, const char *norm_text) {
    const fv_heat_norm *norm;
    fv_heat_range range = {0};
    double parameter;

    cr_assert_eq(fv_heat_norm_find(norm_text, &norm, &parameter), FV_OK, "%s", fv_error_message());
    cr_assert_eq(fv_heat_range_of(map, n, norm, parameter, &range), FV_OK);
    return range;
}

static void expect_range(fv_heat_range r, double low, double high, bool is_signed) {
    cr_expect_float_eq(r.low, low, 1e-7, "low %g, not %g", r.low, low);
    cr_expect_float_eq(r.high, high, 1e-7, "high %g, not %g", r.high, high);
    cr_expect_eq(r.is_signed, is_signed);
}

Test(eval_heat_range, normalised_values_match) {
    const char *const cases[][2] = {{"max", "norm.symmetric_max"},
                                    {"percentile", "norm.symmetric_p99"},
                                    {"mass", "norm.symmetric_mass98"},
                                    {"minmax", "norm.unsigned_minmax"},
                                    {"positive", "norm.positive_max"}};
    fv_safetensors *file;
    fv_arena arena = {0};
    fv_tensor map, norm;

    cr_assert_eq(fv_safetensors_open(GOLDEN, &file), FV_OK, "%s", fv_error_message());
    cr_assert_eq(fv_safetensors_load(file, "R", &arena, &map), FV_OK);
    const int64_t n = fv_shape_numel(&map.shape);
    const float *r = map.data;
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        cr_assert_eq(fv_safetensors_load(file, cases[k][1], &arena, &norm), FV_OK);
        cr_assert_eq(fv_shape_numel(&norm.shape), n);
        const float *expected = norm.data;
        const fv_heat_range range = range_of(r, n, cases[k][0]);
        for (int64_t i = 0; i < n; i++)
            cr_assert_float_eq(fv_heat_value(&range, r[i]), (double)expected[i], 1e-6, "%s",
                               cases[k][1]);
    }
    fv_safetensors_close(file);
    fv_arena_destroy(&arena);
}

/* |R| in order: 0 1 2 3 4, sum 10. */
Test(eval_heat_range, every_norm_on_five_numbers) {
    const float map[5] = {-4, 1, 0, 3, -2};

    expect_range(range_of(map, 5, "max"), -4, 4, true);
    expect_range(range_of(map, 5, "percentile:50"), -2, 2, true);
    expect_range(range_of(map, 5, "percentile:90"), -3.6, 3.6, true);
    expect_range(range_of(map, 5, "percentile:100"), -4, 4, true);
    expect_range(range_of(map, 5, "mass:0.6"), -3, 3, true); /* 0 + 1 + 2 + 3 reaches 6 */
    expect_range(range_of(map, 5, "mass:0.61"), -4, 4, true);
    expect_range(range_of(map, 5, "mass:0.3"), -2, 2, true);
    expect_range(range_of(map, 5, "mass:1"), -4, 4, true);
    expect_range(range_of(map, 5, "minmax"), -4, 3, false);
    expect_range(range_of(map, 5, "positive"), 0, 3, false);
}

Test(eval_heat_range, maps_without_values_have_no_width) {
    const float zero[4] = {0, 0, -0.0f, 0}, against[2] = {-1, -2};
    const fv_heat_norm *norm;

    for (int i = 0; (norm = fv_heat_norm_at(i)); i++) {
        fv_heat_range range;
        cr_assert_eq(fv_heat_range_of(zero, 4, norm, 0.0, &range), FV_OK);
        cr_expect_eq(range.high, 0.0, "%s", norm->name);
        cr_expect_eq(range.low, 0.0, "%s", norm->name);
        cr_expect_eq(fv_heat_value(&range, 0.0f), 0.0);
        cr_expect_eq(fv_heat_value(&range, 3.0f), 0.0, "no division by zero");
    }
    expect_range(range_of(against, 2, "positive"), 0, 0, false);
}

/* 399 zeros of 400: the percentile is 0, and the one value still shows. */
Test(eval_heat_range, sparse_map_shows) {
    float map[400] = {0};

    map[17] = -3.0f;
    expect_range(range_of(map, 400, "percentile"), -3, 3, true);
    expect_range(range_of(map, 400, "mass"), -3, 3, true);
}

Test(eval_heat_range, values_beyond_are_clipped) {
    const fv_heat_range both = {-2, 2, true}, one = {1, 3, false};

    cr_expect_eq(fv_heat_value(&both, -5.0f), -1.0);
    cr_expect_eq(fv_heat_value(&both, -1.0f), -0.5);
    cr_expect_eq(fv_heat_value(&both, 5.0f), 1.0);
    cr_expect_eq(fv_heat_value(&one, -5.0f), 0.0);
    cr_expect_eq(fv_heat_value(&one, 2.0f), 0.5);
    cr_expect_eq(fv_heat_value(&one, 5.0f), 1.0);
}

Test(eval_heat_range, union_holds_both) {
    expect_range(fv_heat_range_union((fv_heat_range){-2, 2, true}, (fv_heat_range){-3, 3, true}),
                 -3, 3, true);
    expect_range(fv_heat_range_union((fv_heat_range){1, 5, false}, (fv_heat_range){0, 2, false}), 0,
                 5, false);
}

Test(eval_heat_range, what_is_not_finite_is_refused) {
    const float maps[3][2] = {{NAN, 1}, {1, INFINITY}, {-INFINITY, 1}};
    const fv_heat_norm *norm;
    fv_heat_range range;

    for (int i = 0; (norm = fv_heat_norm_at(i)); i++) {
        for (int k = 0; k < 3; k++)
            cr_expect_eq(fv_heat_range_of(maps[k], 2, norm, 0.0, &range), FV_ERR_NONFINITE, "%s",
                         norm->name);
        cr_expect_eq(fv_heat_range_of(maps[0], 0, norm, 0.0, &range), FV_ERR_SHAPE);
    }
}

Test(eval_heat_range, names_and_parameters) {
    const char *const bad[] = {"",          "percent",        "percentile:",    "percentile:0",
                               "max:1",     "percentile:101", "percentile:-1",  "mass:1.01",
                               "minmax:0",  "percentile:9x",  "percentile:nan", "mass:inf",
                               "positive:", "mass:0.5:1"};
    const float map[1] = {1};
    const fv_heat_norm *norm;
    fv_heat_range range;
    double parameter;

    for (int i = 0; (norm = fv_heat_norm_at(i)); i++) {
        const fv_heat_norm *found;
        cr_expect_eq(fv_heat_norm_find(norm->name, &found, &parameter), FV_OK);
        cr_expect_eq(found, norm);
        cr_expect_eq(parameter, norm->usual);
    }
    cr_expect_eq(fv_heat_norm_find("percentile:95.5", &norm, &parameter), FV_OK);
    cr_expect_eq(parameter, 95.5);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_expect_eq(fv_heat_norm_find(bad[i], &norm, &parameter), FV_ERR_CONFIG, "'%s'", bad[i]);
    fv_heat_norm_find("none", &norm, &parameter);
    cr_expect(strstr(fv_error_message(), "percentile"), "the message lists what there is");
    cr_expect_eq(fv_heat_range_of(map, 1, &fv_heat_norm_percentile, 200.0, &range), FV_ERR_CONFIG);
    cr_expect_eq(fv_heat_range_of(map, 1, &fv_heat_norm_max, 1.0, &range), FV_ERR_CONFIG);
}

static fv_status work(void *arg) {
    const float map[3] = {1, 2, 3};
    fv_heat_range range;
    (void)arg;
    return fv_heat_range_of(map, 3, &fv_heat_norm_mass, 0.0, &range);
}

Test(eval_heat_range, failing_allocations_are_reported) {
    alloc_sweep_result result;
    cr_assert_eq(alloc_sweep(work, NULL, &result), FV_OK, "%s", fv_error_message());
    cr_expect_gt(result.failures, 0);
}
