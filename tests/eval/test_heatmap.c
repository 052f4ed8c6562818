/* Paintings and overlays against bytes computed in float64 elsewhere, and the edges. */
#include "core/safetensors.h"
#include "eval/saliency/heatmap.h"
#include "tests/support/alloc_sweep.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define GOLDEN FOVEA_SOURCE_DIR "/tests/golden/saliency/render.safetensors"
#define SIDE   16

static fv_safetensors *file;
static fv_arena arena;
static fv_image out;

static void setup(void) {
    cr_assert_eq(fv_safetensors_open(GOLDEN, &file), FV_OK, "%s", fv_error_message());
}

static void teardown(void) {
    fv_safetensors_close(file);
    fv_arena_destroy(&arena);
    fv_image_release(&out);
}

TestSuite(eval_heatmap, .init = setup, .fini = teardown);

static const void *golden(const char *name, int64_t n) {
    fv_tensor t;
    cr_assert_eq(fv_safetensors_load(file, name, &arena, &t), FV_OK, "%s", fv_error_message());
    cr_assert_eq(fv_shape_numel(&t.shape), n);
    return t.data;
}

static fv_heat_style style_of(const float *map, const fv_heat_norm *norm,
                              const fv_colormap *colormap) {
    fv_heat_style style = {.colormap = colormap};
    cr_assert_eq(fv_heat_range_of(map, SIDE * SIDE, norm, 0.0, &style.range), FV_OK);
    return style;
}

/* Largest difference in levels from what is stored. */
static int difference(const char *name) {
    const uint8_t *expected = golden(name, 3 * SIDE * SIDE);
    int worst = 0;

    cr_assert_eq(out.height, SIDE);
    cr_assert_eq(out.width, SIDE);
    for (int64_t i = 0; i < 3 * SIDE * SIDE; i++) {
        const int d = abs((int)out.pixels[i] - (int)expected[i]);
        if (d > worst) worst = d;
    }
    return worst;
}

static fv_image picture_of(const uint8_t *pixels, int64_t height, int64_t width) {
    return (fv_image){(uint8_t *)(uintptr_t)pixels, height, width, (size_t)(3 * height * width)};
}

Test(eval_heatmap, painting_matches) {
    const float *map = golden("R", SIDE * SIDE);
    fv_heat_style style = style_of(map, &fv_heat_norm_percentile, &fv_colormap_bwr);

    cr_assert_eq(fv_heat_paint(map, SIDE, SIDE, &style, &out), FV_OK);
    cr_expect_leq(difference("paint.bwr.symmetric_p99"), 1);
    style = style_of(map, &fv_heat_norm_minmax, &fv_colormap_jet);
    cr_assert_eq(fv_heat_paint(map, SIDE, SIDE, &style, &out), FV_OK);
    cr_expect_leq(difference("paint.jet.unsigned_minmax"), 1);
}

Test(eval_heatmap, overlay_matches) {
    const float *map = golden("R", SIDE * SIDE);
    const fv_image picture = picture_of(golden("image", 3 * SIDE * SIDE), SIDE, SIDE);
    fv_heat_style style = style_of(map, &fv_heat_norm_percentile, &fv_colormap_bwr);

    cr_assert_eq(
        fv_heat_overlay(map, &picture, &style, &(fv_heat_blend){.alpha = 0.8f, .fade = true}, &out),
        FV_OK);
    cr_expect_leq(difference("overlay.bwr.alpha_by_magnitude0.8_on_gray"), 1);
    style = style_of(map, &fv_heat_norm_minmax, &fv_colormap_jet);
    cr_assert_eq(fv_heat_overlay(map, &picture, &style, &(fv_heat_blend){.alpha = 0.5f}, &out),
                 FV_OK);
    cr_expect_leq(difference("overlay.jet.alpha0.5"), 1);
}

/* Every colour map, from one end over the middle to the other. */
Test(eval_heatmap, ends_and_middle_get_their_colours) {
    const float map[3] = {-2, 0, 2};
    const fv_colormap *m;

    for (int i = 0; (m = fv_colormap_at(i)); i++) {
        const fv_heat_style both = {m, {-2, 2, true}}, one = {m, {0, 2, false}};
        fv_colormap_table t;
        fv_colormap_fill(m, &t);
        cr_assert_eq(fv_heat_paint(map, 1, 3, &both, &out), FV_OK);
        cr_expect_eq(memcmp(out.pixels, t.rgb[0], 3), 0, "%s", m->name);
        cr_expect_eq(memcmp(out.pixels + 3, t.rgb[128], 3), 0, "%s", m->name);
        cr_expect_eq(memcmp(out.pixels + 6, t.rgb[255], 3), 0, "%s", m->name);
        cr_assert_eq(fv_heat_paint(map, 1, 3, &one, &out), FV_OK);
        cr_expect_eq(memcmp(out.pixels, t.rgb[0], 3), 0, "%s: below the range", m->name);
        cr_expect_eq(memcmp(out.pixels + 3, t.rgb[0], 3), 0, "%s", m->name);
        cr_expect_eq(memcmp(out.pixels + 6, t.rgb[255], 3), 0, "%s", m->name);
    }
}

Test(eval_heatmap, zero_map_gets_the_colour_of_zero) {
    const float map[SIDE * SIDE] = {0};
    const fv_heat_style style = style_of(map, &fv_heat_norm_percentile, &fv_colormap_bwr);
    fv_colormap_table t;

    fv_colormap_fill(&fv_colormap_bwr, &t);
    cr_assert_eq(fv_heat_paint(map, SIDE, SIDE, &style, &out), FV_OK);
    for (int i = 0; i < SIDE * SIDE; i++)
        cr_assert_eq(memcmp(out.pixels + 3 * i, t.rgb[128], 3), 0);
    for (int i = 0; i < 3; i++) cr_expect_geq(out.pixels[i], 254, "white");
}

/* Two maps, one ten times the other, under their common range: the same value, the same colour. */
Test(eval_heatmap, one_range_makes_maps_comparable) {
    const float small[2] = {0.1f, -0.05f}, large[2] = {1.0f, 0.1f};
    fv_heat_style style = {.colormap = &fv_colormap_seismic};
    fv_heat_range a, b;
    uint8_t first[3];

    cr_assert_eq(fv_heat_range_of(small, 2, &fv_heat_norm_max, 0.0, &a), FV_OK);
    cr_assert_eq(fv_heat_range_of(large, 2, &fv_heat_norm_max, 0.0, &b), FV_OK);
    style.range = fv_heat_range_union(a, b);
    cr_assert_eq(fv_heat_paint(small, 1, 2, &style, &out), FV_OK);
    memcpy(first, out.pixels, 3);
    cr_assert_eq(fv_heat_paint(large, 1, 2, &style, &out), FV_OK);
    cr_expect_eq(memcmp(first, out.pixels + 3, 3), 0);
    cr_expect_neq(memcmp(first, out.pixels, 3), 0);
}

Test(eval_heatmap, opacity_leaves_or_covers_the_picture) {
    const uint8_t pixels[6] = {10, 200, 30, 40, 50, 60};
    const fv_image picture = picture_of(pixels, 1, 2);
    const fv_heat_style style = {&fv_colormap_viridis, {0, 1, false}};
    const float map[2] = {0.0f, 1.0f};
    fv_colormap_table t;

    fv_colormap_fill(style.colormap, &t);
    cr_assert_eq(fv_heat_overlay(map, &picture, &style, &(fv_heat_blend){0}, &out), FV_OK);
    cr_expect_eq(memcmp(out.pixels, pixels, 6), 0);
    cr_assert_eq(fv_heat_overlay(map, &picture, &style, &(fv_heat_blend){.alpha = 1.0f}, &out),
                 FV_OK);
    cr_expect_eq(memcmp(out.pixels, t.rgb[0], 3), 0);
    cr_expect_eq(memcmp(out.pixels + 3, t.rgb[255], 3), 0);
    cr_assert_eq(
        fv_heat_overlay(map, &picture, &style, &(fv_heat_blend){.alpha = 1.0f, .fade = true}, &out),
        FV_OK);
    for (int c = 0; c < 3; c++) /* .299 10 + .587 200 + .114 30 = 123.81 */
        cr_expect_eq(out.pixels[c], 124, "grey where the map is zero");
    cr_expect_eq(memcmp(out.pixels + 3, t.rgb[255], 3), 0);
}

Test(eval_heatmap, bad_input_is_refused) {
    const uint8_t pixels[6] = {0};
    const fv_image picture = picture_of(pixels, 1, 2);
    const fv_heat_style style = {&fv_colormap_bwr, {-1, 1, true}};
    const float good[2] = {0, 1}, bad[2][2] = {{0, NAN}, {-INFINITY, 0}};
    const float opacity[] = {-0.1f, 1.1f, NAN};

    for (int k = 0; k < 2; k++) {
        cr_expect_eq(fv_heat_paint(bad[k], 1, 2, &style, &out), FV_ERR_NONFINITE);
        cr_expect_eq(
            fv_heat_overlay(bad[k], &picture, &style, &(fv_heat_blend){.alpha = 0.5f}, &out),
            FV_ERR_NONFINITE);
    }
    for (int k = 0; k < 3; k++)
        cr_expect_eq(
            fv_heat_overlay(good, &picture, &style, &(fv_heat_blend){.alpha = opacity[k]}, &out),
            FV_ERR_CONFIG);
    cr_expect_eq(fv_heat_paint(good, 0, 2, &style, &out), FV_ERR_SHAPE);
}

Test(eval_heatmap, enlarging_repeats_pixels) {
    const uint8_t pixels[12] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
    const fv_image small = picture_of(pixels, 2, 2);

    cr_assert_eq(fv_image_enlarge(&small, 3, &out), FV_OK);
    cr_assert_eq(out.height, 6);
    cr_assert_eq(out.width, 6);
    for (int64_t y = 0; y < 6; y++)
        for (int64_t x = 0; x < 6; x++)
            cr_assert_eq(
                memcmp(out.pixels + 3 * (6 * y + x), pixels + 3 * (2 * (y / 3) + x / 3), 3), 0);
    cr_expect_eq(fv_image_enlarge(&small, 0, &out), FV_ERR_SHAPE);
}

Test(eval_heatmap, factor_is_the_smallest_that_suffices) {
    cr_expect_eq(fv_image_enlarge_factor(32, 48, 224), 7);
    cr_expect_eq(fv_image_enlarge_factor(48, 33, 224), 7);
    cr_expect_eq(fv_image_enlarge_factor(223, 300, 224), 2);
    cr_expect_eq(fv_image_enlarge_factor(224, 224, 224), 1);
    cr_expect_eq(fv_image_enlarge_factor(500, 600, 224), 1);
}

static fv_status work(void *arg) {
    const uint8_t pixels[3] = {0};
    const fv_image picture = picture_of(pixels, 1, 1);
    const fv_heat_style style = {&fv_colormap_bwr, {-1, 1, true}};
    const float map[1] = {1};
    fv_image laid = {0}, large = {0};
    (void)arg;

    fv_status status = fv_heat_overlay(map, &picture, &style, &(fv_heat_blend){0}, &laid);
    if (status == FV_OK) status = fv_image_enlarge(&laid, 2, &large);
    fv_image_release(&laid);
    fv_image_release(&large);
    return status;
}

Test(eval_heatmap, failing_allocations_are_reported) {
    cr_assert_eq(alloc_sweep(work, NULL, NULL), FV_OK, "%s", fv_error_message());
}
