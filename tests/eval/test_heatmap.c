/* Colours, normalisation and overlay against numbers computed in float64 elsewhere. */
#include "core/alloc.h"
#include "core/safetensors.h"
#include "eval/saliency/heatmap.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define GOLDEN FOVEA_SOURCE_DIR "/tests/golden/saliency/render.safetensors"
#define SIDE   16

static fv_safetensors *file;
static fv_arena arena;

static void setup(void) {
    cr_assert_eq(fv_safetensors_open(GOLDEN, &file), FV_OK, "%s", fv_error_message());
}

static void teardown(void) {
    fv_safetensors_close(file);
    fv_arena_destroy(&arena);
}

static const void *golden(const char *name, int64_t n) {
    fv_tensor t;
    cr_assert_eq(fv_safetensors_load(file, name, &arena, &t), FV_OK, "%s", fv_error_message());
    cr_assert_eq(fv_shape_numel(&t.shape), n);
    return t.data;
}

static float p99_scale(const float *map) {
    float scale = -1.0f;
    cr_assert_eq(fv_heat_scale(map, SIDE * SIDE, 99.0, &scale), FV_OK);
    return scale;
}

/* Largest difference in levels. */
static int difference(const fv_image *image, const uint8_t *expected) {
    int worst = 0;
    for (int64_t i = 0; i < 3 * image->height * image->width; i++) {
        const int d = abs((int)image->pixels[i] - (int)expected[i]);
        if (d > worst) worst = d;
    }
    return worst;
}

Test(eval_heatmap, every_colour_of_the_map_is_exact, .init = setup, .fini = teardown) {
    const uint8_t *lut = golden("lut.bwr", 256 * 3);
    float ramp[256];
    fv_image painted = {0};

    for (int i = 0; i < 256; i++) ramp[i] = (float)(2.0 * i / 255.0 - 1.0);
    cr_assert_eq(fv_heat_paint(ramp, 1, 256, 1.0f, &painted), FV_OK);
    cr_assert_eq(difference(&painted, lut), 0);
    fv_image_release(&painted);
}

Test(eval_heatmap, scale_is_the_percentile, .init = setup, .fini = teardown) {
    const float *map = golden("R", SIDE * SIDE), *norm = golden("norm.symmetric_p99", SIDE * SIDE);
    const float scale = p99_scale(map);

    for (int i = 0; i < SIDE * SIDE; i++) {
        const float v = fminf(fmaxf(map[i] / scale, -1.0f), 1.0f);
        cr_assert(fabsf(v - norm[i]) <= 1e-5f, "%d: %g, not %g", i, (double)v, (double)norm[i]);
    }
}

Test(eval_heatmap, painting_matches, .init = setup, .fini = teardown) {
    const float *map = golden("R", SIDE * SIDE);
    const uint8_t *expected = golden("paint.bwr.symmetric_p99", 3 * SIDE * SIDE);
    fv_image painted = {0};

    cr_assert_eq(fv_heat_paint(map, SIDE, SIDE, p99_scale(map), &painted), FV_OK);
    cr_assert_leq(difference(&painted, expected), 1);
    fv_image_release(&painted);
}

Test(eval_heatmap, overlay_matches, .init = setup, .fini = teardown) {
    const float *map = golden("R", SIDE * SIDE);
    const uint8_t *pixels = golden("image", 3 * SIDE * SIDE);
    const uint8_t *expected = golden("overlay.bwr.alpha_by_magnitude0.8_on_gray", 3 * SIDE * SIDE);
    const fv_image picture = {(uint8_t *)(uintptr_t)pixels, SIDE, SIDE, 3 * SIDE * SIDE};
    fv_image overlay = {0};

    cr_assert_eq(fv_heat_overlay(map, &picture, p99_scale(map), 0.8f, &overlay), FV_OK);
    cr_assert_leq(difference(&overlay, expected), 1);
    fv_image_release(&overlay);
}

Test(eval_heatmap, zero_map_is_white) {
    const float map[4] = {0, 0, 0, 0};
    fv_image painted = {0};
    float scale = -1.0f;

    cr_assert_eq(fv_heat_scale(map, 4, 99.0, &scale), FV_OK);
    cr_assert_eq(scale, 0.0f);
    cr_assert_eq(fv_heat_paint(map, 2, 2, scale, &painted), FV_OK);
    /* Zero lies between entries 127 and 128 and rounds up. */
    for (int i = 0; i < 12; i++) cr_assert_geq(painted.pixels[i], 254);
    fv_image_release(&painted);
}

/* 399 zeros of 400: the percentile is 0, and the one value still shows. */
Test(eval_heatmap, sparse_map_shows) {
    float map[400] = {0};
    float scale = 0.0f;

    map[17] = -3.0f;
    cr_assert_eq(fv_heat_scale(map, 400, 99.0, &scale), FV_OK);
    cr_assert_eq(scale, 3.0f);
}

Test(eval_heatmap, enlarging_repeats_pixels) {
    uint8_t pixels[12] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
    const fv_image small = {pixels, 2, 2, sizeof pixels};
    fv_image large = {0};

    cr_assert_eq(fv_image_enlarge(&small, 3, &large), FV_OK);
    cr_assert_eq(large.height, 6);
    cr_assert_eq(large.width, 6);
    for (int64_t y = 0; y < 6; y++)
        for (int64_t x = 0; x < 6; x++)
            cr_assert_eq(
                memcmp(large.pixels + 3 * (6 * y + x), pixels + 3 * (2 * (y / 3) + x / 3), 3), 0);
    fv_image_release(&large);
}
