#include "eval/predict.h"

#include <criterion/criterion.h>

#include <math.h>

Test(eval_predict, top_is_sorted_and_ties_go_to_the_lower_class) {
    const float z[] = {1.0f, 3.0f, -1.0f, 3.0f, 2.0f};
    static const int64_t order[] = {1, 3, 4, 0, 2};
    fv_prediction top[5];
    double sum = 0.0;

    cr_assert_eq(fv_predict_top(z, 5, 9, top), 5, "k is cut to the number of classes");
    for (int i = 0; i < 5; i++) {
        cr_assert_eq(top[i].index, order[i]);
        sum += top[i].probability;
    }
    cr_assert_float_eq(sum, 1.0, 1e-14);
    cr_assert_float_eq(top[0].probability / top[4].probability, exp(4.0), 1e-9);
    cr_assert_eq(fv_predict_top(z, 5, 2, top), 2);
    cr_assert_eq(top[1].index, 3);
    cr_assert_eq(fv_predict_top(z, 5, 0, top), 0);
}

Test(eval_predict, nan_shows) {
    const float z[] = {1.0f, NAN, 2.0f};
    fv_prediction top[3];

    cr_assert_eq(fv_predict_top(z, 3, 3, top), 3);
    cr_assert_eq(top[0].index, 1);
    cr_assert(isnan(top[0].probability));
    cr_assert_eq(top[1].index, 2);
    cr_assert_eq(top[2].index, 0);
}
