#include "core/shape.h"

#include <criterion/criterion.h>

#include <string.h>

Test(core_shape, counts) {
    const fv_shape s = fv_shape_of(3, (int64_t)2, (int64_t)197, (int64_t)192);
    const fv_shape scalar = fv_shape_of(0);
    const fv_shape empty = fv_shape_of(2, (int64_t)0, (int64_t)5);

    cr_expect_eq(fv_shape_numel(&s), 2 * 197 * 192);
    cr_expect_eq(fv_shape_rows(&s), 2 * 197);
    cr_expect_eq(fv_shape_last(&s), 192);
    cr_expect(fv_shape_numel(&scalar) == 1 && fv_shape_rows(&scalar) == 1);
    cr_expect_eq(fv_shape_last(&scalar), 1);
    cr_expect(fv_shape_numel(&empty) == 0 && fv_shape_rows(&empty) == 0);
}

Test(core_shape, equality) {
    const fv_shape a = fv_shape_of(2, (int64_t)3, (int64_t)4);
    fv_shape b = a;

    cr_expect(fv_shape_equal(&a, &b));
    b.dim[5] = 9; /* beyond the rank */
    cr_expect(fv_shape_equal(&a, &b));
    b.dim[1] = 5;
    cr_expect(!fv_shape_equal(&a, &b));
    b = fv_shape_of(3, (int64_t)3, (int64_t)4, (int64_t)1);
    cr_expect(!fv_shape_equal(&a, &b));
}

Test(core_shape, check_finds_what_cannot_be) {
    int64_t n = -1;
    fv_shape s =
        fv_shape_of(6, (int64_t)1, (int64_t)2, (int64_t)3, (int64_t)4, (int64_t)5, (int64_t)6);

    cr_expect_eq(fv_shape_check(&s, &n), FV_OK);
    cr_expect_eq(n, 720);
    s.dim[4] = -1;
    cr_expect_eq(fv_shape_check(&s, &n), FV_ERR_SHAPE);
    cr_expect_eq(n, 0);
    s = fv_shape_of(2, (int64_t)1 << 32, (int64_t)1 << 31);
    cr_expect_eq(fv_shape_check(&s, &n), FV_ERR_SHAPE);
    s = fv_shape_of(2, ((int64_t)1 << 32) - 1, (int64_t)1 << 31); /* just below 2^63 */
    cr_expect_eq(fv_shape_check(&s, &n), FV_OK);
    cr_expect_eq(n, (((int64_t)1 << 32) - 1) << 31);
    s.rank = FV_MAX_RANK + 1;
    cr_expect_eq(fv_shape_check(&s, &n), FV_ERR_SHAPE);
    s.rank = -1;
    cr_expect_eq(fv_shape_check(&s, &n), FV_ERR_SHAPE);
}

Test(core_shape, text) {
    char text[FV_SHAPE_TEXT];
    fv_shape s = fv_shape_of(3, (int64_t)2, (int64_t)197, (int64_t)192);

    cr_expect_str_eq(fv_shape_text(&s, text), "2x197x192");
    s = fv_shape_of(0);
    cr_expect_str_eq(fv_shape_text(&s, text), "scalar");
    s = fv_shape_of(1, (int64_t)7);
    cr_expect_str_eq(fv_shape_text(&s, text), "7");
    s.rank = FV_MAX_RANK;
    for (int i = 0; i < FV_MAX_RANK; i++) s.dim[i] = INT64_MIN;
    cr_expect_lt(strlen(fv_shape_text(&s, text)), FV_SHAPE_TEXT);
    cr_expect_eq(strncmp(text, "-9223372036854775808x", 21), 0);
}
