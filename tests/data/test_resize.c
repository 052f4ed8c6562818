#include "data/resize.h"

#include "core/alloc.h"
#include "tests/golden/images_generated.h"
#include "tests/support/picture.h"

#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

static size_t n_bytes(const fv_image *image) { return (size_t)(image->height * image->width * 3); }

Test(data_resize, equals_pillow) {
    fv_resize_scratch scratch = {0};
    fv_image out = {0};

    for (size_t i = 0; i < sizeof generated_resizes / sizeof *generated_resizes; i++) {
        const int64_t *c = generated_resizes[i].crop;
        const fv_crop crop = {c[0], c[1], c[2], c[3]};
        fv_image *src = test_pattern(generated_resizes[i].height, generated_resizes[i].width);
        fv_resize_spec spec = {.crop = c[2] ? &crop : NULL,
                               .height = generated_resizes[i].new_height,
                               .width = generated_resizes[i].new_width};
        cr_assert_eq(fv_resize(src, &spec, &scratch, &out), FV_OK, "%s", fv_error_message());
        cr_assert(out.height == spec.height && out.width == spec.width);
        cr_expect_eq(test_fnv(out.pixels, n_bytes(&out)), generated_resizes[i].bicubic,
                     "bicubic, case %zu", i);
        spec.interpolation = FV_INTERPOLATION_BILINEAR;
        cr_assert_eq(fv_resize(src, &spec, &scratch, &out), FV_OK);
        cr_expect_eq(test_fnv(out.pixels, n_bytes(&out)), generated_resizes[i].bilinear,
                     "bilinear, case %zu", i);
        fv_image_destroy(src);
    }
    fv_image_release(&out);
    fv_resize_scratch_free(&scratch);
}

Test(data_resize, same_size_is_the_identity) {
    fv_image *src = test_pattern(19, 23);
    fv_resize_scratch scratch = {0};
    fv_image out = {0};

    cr_assert_eq(fv_resize(src, &(fv_resize_spec){.height = 19, .width = 23}, &scratch, &out),
                 FV_OK);
    cr_expect_eq(memcmp(src->pixels, out.pixels, n_bytes(src)), 0);
    fv_image_destroy(src);
    fv_image_release(&out);
    fv_resize_scratch_free(&scratch);
}

/* A window is a part of the full result, whichever passes run. */
Test(data_resize, window_equals_crop_of_the_result) {
    static const int64_t sizes[][2] = {{20, 31}, {40, 31}, {20, 50}, {40, 50}, {90, 77}};
    static const fv_crop windows[] = {{0, 0, 9, 9}, {11, 22, 9, 9}, {3, 5, 17, 1}, {19, 30, 1, 1}};
    fv_image *src = test_pattern(40, 50);
    fv_resize_scratch scratch = {0};
    fv_image full = {0}, part = {0};

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        fv_resize_spec spec = {.height = sizes[i][0], .width = sizes[i][1]};
        cr_assert_eq(fv_resize(src, &spec, &scratch, &full), FV_OK);
        for (size_t j = 0; j < sizeof windows / sizeof *windows; j++) {
            const fv_crop *w = &windows[j];
            spec.window = w;
            cr_assert_eq(fv_resize(src, &spec, &scratch, &part), FV_OK, "%s", fv_error_message());
            for (int64_t y = 0; y < w->height; y++)
                cr_expect_eq(memcmp(part.pixels + y * w->width * 3,
                                    full.pixels + ((w->top + y) * full.width + w->left) * 3,
                                    (size_t)w->width * 3),
                             0, "size %zu, window %zu, row %d", i, j, (int)y);
        }
    }
    fv_image_destroy(src);
    fv_image_release(&full);
    fv_image_release(&part);
    fv_resize_scratch_free(&scratch);
}

Test(data_resize, a_constant_stays_constant) {
    fv_image *src = NULL;
    fv_resize_scratch scratch = {0};
    fv_image out = {0};

    cr_assert_eq(fv_image_create(33, 47, &src), FV_OK);
    memset(src->pixels, 255, n_bytes(src));
    cr_assert_eq(fv_resize(src, &(fv_resize_spec){.height = 50, .width = 11}, &scratch, &out),
                 FV_OK);
    for (size_t i = 0; i < n_bytes(&out); i++) cr_assert_eq(out.pixels[i], 255);
    fv_image_destroy(src);
    fv_image_release(&out);
    fv_resize_scratch_free(&scratch);
}

Test(data_resize, refuses_bad_requests) {
    fv_image *src = test_pattern(10, 10);
    fv_resize_scratch scratch = {0};
    fv_image out = {0};
    const fv_crop outside[] = {
        {-1, 0, 5, 5}, {0, 0, 11, 5}, {6, 6, 5, 4}, {0, 0, 0, 5}, {0, INT64_MAX, 5, 5}};

    for (size_t i = 0; i < sizeof outside / sizeof *outside; i++) {
        fv_resize_spec spec = {.crop = &outside[i], .height = 4, .width = 4};
        cr_expect_eq(fv_resize(src, &spec, &scratch, &out), FV_ERR_SHAPE, "crop %zu", i);
        spec = (fv_resize_spec){.window = &outside[i], .height = 10, .width = 10};
        cr_expect_eq(fv_resize(src, &spec, &scratch, &out), FV_ERR_SHAPE, "window %zu", i);
    }
    cr_expect_eq(fv_resize(src, &(fv_resize_spec){.height = 0, .width = 4}, &scratch, &out),
                 FV_ERR_SHAPE);
    const fv_resize_spec random = {
        .height = 4, .width = 4, .interpolation = FV_INTERPOLATION_RANDOM};
    cr_expect_eq(fv_resize(src, &random, &scratch, &out), FV_ERR_CONFIG);
    fv_image_destroy(src);
    fv_image_release(&out);
}

Test(data_resize, every_failing_allocation_is_reported) {
    fv_image *src = test_pattern(30, 30);

    for (uint64_t n = 1;; n++) {
        fv_resize_scratch scratch = {0};
        fv_image out = {0};
        fv_alloc_fail_at(n);
        const fv_status status =
            fv_resize(src, &(fv_resize_spec){.height = 9, .width = 9}, &scratch, &out);
        fv_alloc_fail_at(0);
        fv_image_release(&out);
        fv_resize_scratch_free(&scratch);
        if (status == FV_OK) {
            cr_expect_eq(n, 5, "result, two tables, rows between the passes");
            break;
        }
        cr_assert_eq(status, FV_ERR_NOMEM);
    }
    fv_image_destroy(src);
}

Test(data_resize, names_of_interpolations) {
    fv_interpolation value;

    cr_assert_eq(fv_interpolation_parse("bilinear", &value), FV_OK);
    cr_assert_eq(value, FV_INTERPOLATION_BILINEAR);
    cr_assert_str_eq(fv_interpolation_name(FV_INTERPOLATION_BICUBIC), "bicubic");
    cr_assert_eq(fv_interpolation_parse("nearest", &value), FV_ERR_CONFIG);
}
