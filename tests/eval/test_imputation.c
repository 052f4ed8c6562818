#include "eval/saliency/imputation.h"

#include "tests/support/alloc_sweep.h"
#include "tests/support/linear_scorer.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#define CHECK(status) cr_assert_eq((status), FV_OK, "%s", fv_error_message())

Test(eval_imputation, keeps_what_lies_below_the_percentile) {
    const float map[10] = {5, 1, 2, 3, 4, 6, 7, 8, 9, 10};
    uint8_t keep[10];

    CHECK(fv_road_keep(map, 10, 20, false, keep)); /* threshold 2.8 */
    for (int i = 0; i < 10; i++) cr_expect_eq(keep[i], map[i] < 2.8f);
    CHECK(fv_road_keep(map, 10, 20, true, keep)); /* of -map: -8.2 */
    for (int i = 0; i < 10; i++) cr_expect_eq(keep[i], map[i] > 8.2f);
}

Test(eval_imputation, a_map_that_is_not_finite_is_refused) {
    const float map[2] = {0, NAN};
    uint8_t keep[2];

    cr_expect_eq(fv_road_keep(map, 2, 50, false, keep), FV_ERR_NONFINITE);
}

/* One hole: four edges of weight 1/6, four corners of 1/12. */
Test(eval_imputation, one_pixel_by_hand) {
    float image[27];
    uint8_t keep[9] = {1, 1, 1, 1, 0, 1, 1, 1, 1};

    for (int i = 0; i < 9; i++)
        for (int c = 0; c < 3; c++) image[3 * i + c] = (float)(i % 2 ? 6 : 12) * (float)(c + 1);
    image[12] = image[13] = image[14] = 99;
    CHECK(fv_impute(image, keep, 3, 3));
    for (int c = 0; c < 3; c++)
        cr_expect_float_eq(image[12 + c], (4 * 6 / 6.0 + 4) * (c + 1), 1e-5);
}

/* A corner has two edges and one diagonal: what is outside of the image does not count. */
Test(eval_imputation, absent_neighbours_are_dropped) {
    float image[12] = {99, 99, 99, 1, 1, 1, 2, 2, 2, 6, 6, 6};
    uint8_t keep[4] = {0, 1, 1, 1};

    CHECK(fv_impute(image, keep, 2, 2));
    cr_expect_float_eq(image[0], (1 / 6.0 + 2 / 6.0 + 6 / 12.0) / (2 / 6.0 + 1 / 12.0), 1e-6);
}

/* A line is linear between its ends, a constant stays constant. */
Test(eval_imputation, solves_what_is_known) {
    float line[3 * 50], flat[3 * 30 * 40];
    uint8_t keep[50] = {0}, some[30 * 40] = {0};

    for (int i = 0; i < 150; i++) line[i] = i / 3 == 49 ? 49 : 0;
    keep[0] = keep[49] = 1;
    CHECK(fv_impute(line, keep, 1, 50));
    for (int i = 0; i < 150; i++) cr_assert_float_eq(line[i], i / 3, 1e-4, "%d", i);

    for (int i = 0; i < 3600; i++) flat[i] = i / 3 == 700 ? 0.25f : 7;
    some[700] = 1;
    CHECK(fv_impute(flat, some, 30, 40));
    for (int i = 0; i < 3600; i++) cr_assert_float_eq(flat[i], 0.25, 1e-6);
}

/* Every removed pixel is the weighted mean of its neighbours, and inside their range. */
Test(eval_imputation, the_equation_holds) {
    enum { H = 31, W = 23 };
    static float image[3 * H * W], map[H * W];
    uint8_t keep[H * W];

    random_floats(1, 3 * H * W, image);
    random_floats(2, H * W, map);
    CHECK(fv_road_keep(map, H * W, 10, false, keep));
    CHECK(fv_impute(image, keep, H, W));
    for (int i = 0; i < H * W; i++) {
        double sum[3] = {0}, total = 0;
        if (keep[i]) continue;
        for (int dy = -1; dy <= 1; dy++)
            for (int dx = -1; dx <= 1; dx++) {
                const int y = i / W + dy, x = i % W + dx;
                if ((!dy && !dx) || y < 0 || y >= H || x < 0 || x >= W) continue;
                const double w = dy && dx ? 1 / 12.0 : 1 / 6.0;
                total += w;
                for (int c = 0; c < 3; c++) sum[c] += w * (double)image[3 * (y * W + x) + c];
            }
        for (int c = 0; c < 3; c++)
            cr_assert_float_eq(image[3 * i + c], sum[c] / total, 1e-6, "%d", i);
    }
}

Test(eval_imputation, nothing_kept_is_the_mean_colour) {
    float image[12];
    uint8_t keep[4];

    random_floats(1, 12, image);
    CHECK(fv_road_keep((float[]){2, 2, 2, 2}, 4, 50, false, keep)); /* constant */
    CHECK(fv_impute(image, keep, 2, 2));
    for (int i = 0; i < 12; i++) cr_expect_eq(image[i], 0);
}

Test(eval_imputation, nothing_removed_is_the_identity) {
    float image[12], before[12];
    uint8_t keep[4] = {1, 1, 1, 1};

    random_floats(1, 12, image);
    memcpy(before, image, sizeof before);
    CHECK(fv_impute(image, keep, 2, 2));
    cr_expect_arr_eq(image, before, sizeof before);
}

static fv_status impute(void *arg) {
    float image[12] = {0};
    uint8_t keep[4];
    (void)arg;
    FV_TRY(fv_road_keep((float[]){1, 2, 3, 4}, 4, 50, false, keep));
    return fv_impute(image, keep, 2, 2);
}

Test(eval_imputation, survives_failing_allocations) {
    cr_expect_eq(alloc_sweep(impute, NULL, NULL), FV_OK, "%s", fv_error_message());
}
