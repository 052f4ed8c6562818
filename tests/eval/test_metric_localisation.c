#include "eval/saliency/metric_localisation.h"

#include "tests/support/alloc_sweep.h"
#include "tests/support/linear_scorer.h"

#include <criterion/criterion.h>
#include <math.h>

#define CHECK(status) cr_assert_eq((status), FV_OK, "%s", fv_error_message())

static double auc(const float *map, const uint8_t *mask, int64_t n) {
    double out;
    CHECK(fv_roc_auc(map, mask, n, &out));
    return out;
}

static double rank_accuracy(const float *map, const uint8_t *mask, int64_t n) {
    double out;
    CHECK(fv_rank_accuracy(map, mask, n, &out));
    return out;
}

Test(eval_metric_localisation, shares_by_hand) {
    const float map[5] = {3, -1, 1, -5, 0};
    const uint8_t mask[5] = {1, 1, 0, 0, 0};

    cr_expect_float_eq(fv_energy_pointing(map, mask, 5), 0.75, 1e-15);
    cr_expect_float_eq(fv_relevance_mass(map, mask, 5), 0.4, 1e-15);
    cr_expect(isnan(fv_energy_pointing((float[]){-1, 0}, mask, 2)));
    cr_expect(isnan(fv_relevance_mass((float[]){0, 0}, mask, 2)));
}

Test(eval_metric_localisation, a_perfect_map_is_perfect) {
    enum { n = 400 };
    float map[n];
    uint8_t mask[n];

    random_floats(1, n, map);
    for (int i = 0; i < n; i++) mask[i] = map[i] > 0.4f;
    cr_expect_eq(auc(map, mask, n), 1);
    cr_expect_eq(rank_accuracy(map, mask, n), 1);
    for (int i = 0; i < n; i++) map[i] = -map[i];
    cr_expect_eq(auc(map, mask, n), 0);
    cr_expect_eq(rank_accuracy(map, mask, n), 0);
    for (int i = 0; i < n; i++) map[i] = 0.5f;
    cr_expect_eq(auc(map, mask, n), 0.5);
}

/* Against all pairs of a pixel on the object and one beside it. */
Test(eval_metric_localisation, auc_counts_ties_half) {
    enum { n = 60 };
    float map[n];
    uint8_t mask[n];
    double wins = 0, pairs = 0;

    random_floats(3, n, map);
    for (int i = 0; i < n; i++) {
        map[i] = floorf(4 * map[i]); /* many ties */
        mask[i] = i % 3 == 0;
    }
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) {
            if (!mask[i] || mask[j]) continue;
            pairs++;
            wins += map[i] > map[j] ? 1 : map[i] == map[j] ? 0.5 : 0;
        }
    cr_expect_float_eq(auc(map, mask, n), wins / pairs, 1e-14);
}

Test(eval_metric_localisation, empty_and_full_masks_are_not_defined) {
    const float map[3] = {1, 2, 3};
    const uint8_t none[3] = {0}, all[3] = {1, 1, 1};

    cr_expect(isnan(auc(map, none, 3)));
    cr_expect(isnan(auc(map, all, 3)));
    cr_expect(isnan(rank_accuracy(map, none, 3)));
    cr_expect_eq(rank_accuracy(map, all, 3), 1);
}

Test(eval_metric_localisation, maps_that_are_not_finite_are_refused) {
    const float map[2] = {NAN, 0};
    const uint8_t mask[2] = {1, 0};
    double out;

    cr_expect_eq(fv_roc_auc(map, mask, 2, &out), FV_ERR_NONFINITE);
    cr_expect_eq(fv_rank_accuracy(map, mask, 2, &out), FV_ERR_NONFINITE);
}

Test(eval_metric_localisation, threshold_is_a_share_of_the_maximum) {
    const float map[4] = {8, 2, 1.9f, -9};
    uint8_t above[4];

    fv_threshold_mask(map, 4, 0.25, above);
    cr_expect(above[0] && above[1] && !above[2] && !above[3]);
    fv_threshold_mask((float[]){-1, 0, -2, 0}, 4, 0.25, above);
    cr_expect(!above[0] && !above[1] && !above[2] && !above[3]);
}

static void expect_box(fv_pixel_box b, int64_t y0, int64_t x0, int64_t y1, int64_t x1) {
    cr_expect(b.y0 == y0 && b.x0 == x0 && b.y1 == y1 && b.x1 == x1, "%d %d %d %d", (int)b.y0,
              (int)b.x0, (int)b.y1, (int)b.x1);
}

/* Diagonal neighbours are not connected; neither are the ends of neighbouring rows. */
Test(eval_metric_localisation, largest_component_by_hand) {
    const uint8_t mask[5 * 6] = {
        1, 1, 0, 0, 0, 1, /* */
        1, 0, 0, 0, 0, 1, /* */
        0, 1, 1, 1, 0, 0, /* */
        0, 0, 0, 1, 0, 0, /* */
        1, 1, 1, 0, 0, 0,
    };
    const uint8_t twice[4] = {1, 0, 0, 1}, none[4] = {0};
    fv_pixel_box box;

    CHECK(fv_largest_component(mask, 5, 6, &box));
    expect_box(box, 2, 1, 3, 3);
    expect_box(fv_mask_box(mask, 5, 6), 0, 0, 4, 5);
    CHECK(fv_largest_component(twice, 2, 2, &box)); /* the first of equal ones */
    expect_box(box, 0, 0, 0, 0);
    CHECK(fv_largest_component(none, 2, 2, &box));
    cr_expect_eq(fv_box_iou(box, (fv_pixel_box){0, 0, 1, 1}), 0);
}

Test(eval_metric_localisation, iou_by_hand) {
    const fv_pixel_box a = {0, 0, 3, 3}, b = {2, 2, 5, 3}, apart = {4, 4, 5, 5};

    cr_expect_eq(fv_box_iou(a, a), 1);
    cr_expect_float_eq(fv_box_iou(a, b), 4.0 / (16 + 8 - 4), 1e-15);
    cr_expect_eq(fv_box_iou(a, apart), 0);
}

static fv_status everything(void *arg) {
    const float map[4] = {1, 2, 3, 4};
    const uint8_t mask[4] = {1, 0, 0, 1};
    fv_pixel_box box;
    double out;

    (void)arg;
    FV_TRY(fv_roc_auc(map, mask, 4, &out));
    FV_TRY(fv_rank_accuracy(map, mask, 4, &out));
    return fv_largest_component(mask, 2, 2, &box);
}

Test(eval_metric_localisation, survives_failing_allocations) {
    cr_expect_eq(alloc_sweep(everything, NULL, NULL), FV_OK, "%s", fv_error_message());
}
