#include "data/pixels.h"

#include "core/alloc.h"
#include "tests/golden/pixels_generated.h"
#include "tests/support/picture.h"

#include <criterion/criterion.h>

#include <string.h>

TestSuite(data_pixels);

static void dim(fv_image *image) {
    for (int64_t i = 0; i < image->height * image->width * 3; i++)
        image->pixels[i] = (uint8_t)(40 + image->pixels[i] / 3);
}

static bool starts(const char *name, const char *with) {
    return strncmp(name, with, strlen(with)) == 0;
}

/* rotate, shear_x, shear_y, translate_x, translate_y with _bilinear or _bicubic behind it */
static fv_status move(fv_image *image, const char *op, double level, fv_buffer *copy) {
    fv_affine a = {.m = {1, 0, 0, 0, 1, 0}, .fill = {124, 116, 104}};

    if (strstr(op, "_bilinear")) a.interpolation = FV_INTERPOLATION_BILINEAR;
    if (starts(op, "rotate")) fv_rotation(level, image->height, image->width, a.m);
    if (starts(op, "shear_x")) a.m[1] = level;
    if (starts(op, "shear_y")) a.m[3] = level;
    if (starts(op, "translate_x")) a.m[2] = level * (double)image->width;
    if (starts(op, "translate_y")) a.m[5] = level * (double)image->height;
    return fv_pixels_affine(image, &a, copy);
}

static fv_status apply(fv_image *image, const char *op, double level, fv_buffer *copy) {
    if (strcmp(op, "invert") == 0)
        fv_pixels_invert(image);
    else if (strcmp(op, "posterize") == 0)
        fv_pixels_posterize(image, (int)level);
    else if (strcmp(op, "solarize") == 0)
        fv_pixels_solarize(image, (int)level);
    else if (strcmp(op, "solarize_add") == 0)
        fv_pixels_solarize_add(image, (int)level, 128);
    else if (strcmp(op, "autocontrast") == 0)
        dim(image), fv_pixels_autocontrast(image);
    else if (strcmp(op, "equalize") == 0)
        fv_pixels_equalize(image);
    else if (strcmp(op, "equalize_dim") == 0)
        dim(image), fv_pixels_equalize(image);
    else if (strcmp(op, "color") == 0)
        fv_pixels_color(image, level);
    else if (strcmp(op, "contrast") == 0)
        fv_pixels_contrast(image, level);
    else if (strcmp(op, "brightness") == 0)
        fv_pixels_brightness(image, level);
    else if (strcmp(op, "sharpness") == 0)
        return fv_pixels_sharpness(image, level, copy);
    else
        return move(image, op, level, copy);
    return FV_OK;
}

Test(data_pixels, equal_pillow) {
    fv_buffer copy = {0};

    for (size_t i = 0; i < sizeof generated_pixels / sizeof *generated_pixels; i++) {
        const int64_t h = generated_pixels[i].height, w = generated_pixels[i].width;
        fv_image *image = test_pattern(h, w);
        cr_assert_eq(apply(image, generated_pixels[i].op, generated_pixels[i].level, &copy), FV_OK);
        cr_expect_eq(test_fnv(image->pixels, (size_t)(h * w * 3)), generated_pixels[i].hash,
                     "%s %g of %dx%d", generated_pixels[i].op, generated_pixels[i].level, (int)h,
                     (int)w);
        fv_image_destroy(image);
    }
    fv_buffer_free(&copy);
}

Test(data_pixels, one_colour_survives_and_tiny_pictures_work) {
    fv_buffer copy = {0};

    for (int64_t side = 1; side <= 4; side++) {
        fv_image *image = NULL;
        cr_assert_eq(fv_image_create(side, side, &image), FV_OK);
        const size_t n = (size_t)(side * side * 3);
        memset(image->pixels, 77, n);
        fv_pixels_autocontrast(image);
        fv_pixels_equalize(image);
        fv_pixels_contrast(image, 1.7);
        fv_pixels_color(image, 0.3);
        cr_assert_eq(fv_pixels_sharpness(image, 1.9, &copy), FV_OK);
        cr_assert_eq(apply(image, "shear_x_bicubic", 0.0, &copy), FV_OK);
        for (size_t i = 0; i < n; i++) cr_assert_eq(image->pixels[i], 77);
        fv_image_destroy(image);
    }
    fv_buffer_free(&copy);
}

Test(data_pixels, refuses_random_interpolation) {
    fv_buffer copy = {0};
    fv_image *image = test_pattern(4, 4);
    const fv_affine a = {.m = {1, 0, 0, 0, 1, 0}, .interpolation = FV_INTERPOLATION_RANDOM};

    cr_assert_eq(fv_pixels_affine(image, &a, &copy), FV_ERR_CONFIG);
    fv_image_destroy(image);
}
