/* Names of explanation files: unique for every image and method. */
#include "eval/saliency/explanation_file.h"

#include "core/json.h"
#include "core/safetensors.h"
#include "tests/support/picture.h"

#include <criterion/criterion.h>
#include <string.h>

static fv_arena arena;

static void teardown(void) { fv_arena_destroy(&arena); }

TestSuite(eval_explanation_file, .fini = teardown);

Test(eval_explanation_file, stems_are_plain_names_made_unique) {
    const char *const images[] = {"a/one.png", "b/one.jpg",  "one",     "c/one-2.png",
                                  "x.tar.gz",  "/d/.hidden", "e/two.p", "e/one.png"};
    const char *const wanted[] = {"one",   "one-2",   "one-3", "one-2-2",
                                  "x.tar", ".hidden", "two",   "one-4"};
    const int n = sizeof images / sizeof *images;
    const char *stems[8];

    cr_assert_eq(fv_explanation_stems(images, n, &arena, stems), FV_OK);
    for (int i = 0; i < n; i++) cr_expect_str_eq(stems[i], wanted[i]);
}

/* 100 times "ä" and a byte: the cut must not split a character. */
Test(eval_explanation_file, long_names_are_cut_between_characters) {
    char name[256] = "x";
    const char *images[] = {name};
    const char *stem;

    for (int i = 0; i < 100; i++) strcat(name, "\xc3\xa4");
    strcat(name, ".png");
    cr_assert_eq(fv_explanation_stems(images, 1, &arena, &stem), FV_OK);
    cr_expect_eq(strlen(stem), 179);
    cr_expect_eq((unsigned char)stem[178], 0xa4, "a whole character at the end");
}

Test(eval_explanation_file, colons_do_not_reach_file_names) {
    fv_explanation_files files;

    cr_assert_eq(fv_explanation_name("out", "one", "lrp:cplrp", &arena, &files), FV_OK);
    cr_expect_str_eq(files.raw, "out/one_lrp-cplrp.safetensors");
    cr_expect_str_eq(files.map, "out/one_lrp-cplrp_heat.png");
    cr_expect_str_eq(files.overlay, "out/one_lrp-cplrp_overlay.png");
    cr_expect_null(files.grid);
}

Test(eval_explanation_file, ledger_names_every_sink) {
    const fv_explanation with = {.has_account = true, .account = {.start = 2.0, .input = 1.5}};
    const fv_explanation without = {0};

    const fv_value *ledger = fv_explanation_ledger(&with, &arena);
    cr_assert_not_null(ledger);
    cr_expect_eq(fv_value_find(ledger, "input")->real, 1.5);
    for (int s = 0; s < FV_SINK_COUNT; s++)
        cr_expect_not_null(fv_value_find(ledger, fv_sink_names[s]), "%s", fv_sink_names[s]);
    cr_expect_eq(fv_explanation_ledger(&without, &arena)->kind, FV_VALUE_NULL);
}

/* ---- pictures ---- */

#define SIDE 224 /* pictures of this size are not enlarged */

static const fv_saliency_method signed_method = {.name = "s", .has_sign = true},
                                unsigned_method = {.name = "u"};
static const fv_model model = {.name = "none"};
static const fv_preprocess preprocess = {.img_h = SIDE, .img_w = SIDE, .crop_pct = 1.0};

typedef struct shown {
    fv_image *heat, *overlay;
    fv_value *parameters; /* in arena */
} shown;

/* Saves a map that runs from -1 to 1 over a picture. */
static shown show(const fv_saliency_method *method, const fv_explanation_looks *looks,
                  const fv_image *picture) {
    static float map[SIDE * SIDE];
    const fv_saliency_choice choice = {.text = method->name, .method = method};
    const fv_explanation e = {.height = SIDE, .width = SIDE, .map = map};
    const fv_explanation_source source = {.checkpoint = "c",
                                          .image = "i",
                                          .weights = "w",
                                          .request = "{}",
                                          .model = &model,
                                          .preprocess = &preprocess,
                                          .choice = &choice,
                                          .looks = looks,
                                          .picture = picture};
    fv_explanation_files files;
    fv_safetensors *st = NULL;
    char root[64];
    shown s = {0};

    for (int i = 0; i < SIDE * SIDE; i++) map[i] = (float)i / (SIDE * SIDE - 1) * 2.0f - 1.0f;
    test_folder_enter(root);
    cr_assert_eq(fv_explanation_name(root, "x", method->name, &arena, &files), FV_OK);
    cr_assert_eq(fv_explanation_save(&e, &source, &files), FV_OK, "%s", fv_error_message());
    cr_expect(fv_explanation_is_done(&files, &source));
    fv_explanation_source other = source;
    other.looks = &(fv_explanation_looks){
        .with_sign = {&fv_colormap_seismic, &fv_heat_norm_max, 0.0, {0.8f, true}},
        .without_sign = {&fv_colormap_jet, &fv_heat_norm_minmax, 0.0, {0.5f, false}}};
    cr_expect_not(fv_explanation_is_done(&files, &other), "another look");
    cr_assert_eq(fv_image_load(files.map, &s.heat), FV_OK);
    cr_assert_eq(fv_image_load(files.overlay, &s.overlay), FV_OK);
    cr_assert_eq(fv_safetensors_open(files.raw, &st), FV_OK);
    const char *text = fv_safetensors_metadata(st, "parameters");
    cr_assert_eq(fv_json_parse(text, strlen(text), "parameters", &arena, &s.parameters), FV_OK);
    fv_safetensors_close(st);
    test_folder_leave(root);
    return s;
}

static void expect_pixel(const fv_image *image, int64_t i, int r, int g, int b) {
    const uint8_t *p = image->pixels + 3 * i;
    cr_expect(p[0] == r && p[1] == g && p[2] == b, "%d: %d %d %d", (int)i, p[0], p[1], p[2]);
}

static void forget(shown *s) {
    fv_image_destroy(s->heat);
    fv_image_destroy(s->overlay);
}

/* A picture of (100, 0, 0), luminance 29.9. */
static fv_image *red(void) {
    fv_image *image;

    cr_assert_eq(fv_image_create(SIDE, SIDE, &image), FV_OK);
    memset(image->pixels, 0, 3 * SIDE * SIDE);
    for (int i = 0; i < SIDE * SIDE; i++) image->pixels[3 * i] = 100;
    return image;
}

Test(eval_explanation_file, maps_with_sign_are_blue_and_red_over_grey) {
    fv_image *picture = red();
    shown s = show(&signed_method, NULL, picture);
    const int64_t last = SIDE * SIDE - 1, middle = SIDE * SIDE / 2;

    expect_pixel(s.heat, 0, 0, 0, 255);
    expect_pixel(s.heat, last, 255, 0, 0);
    expect_pixel(s.overlay, last, 210, 6, 6); /* 0.2 * 29.9 + 0.8 * 255 */
    expect_pixel(s.overlay, middle, 30, 30, 30);
    cr_expect_str_eq(fv_value_find(s.parameters, "colormap")->text, "bwr");
    cr_expect_str_eq(fv_value_find(s.parameters, "normalise")->text, "percentile:99");
    cr_expect_eq(fv_value_find(s.parameters, "shared_scale")->integer, 0);
    forget(&s);
    fv_image_destroy(picture);
}

Test(eval_explanation_file, maps_without_sign_are_viridis_over_colour) {
    fv_image *picture = red();
    shown s = show(&unsigned_method, NULL, picture);
    const int64_t last = SIDE * SIDE - 1;

    expect_pixel(s.heat, 0, 0x44, 0x01, 0x54);
    expect_pixel(s.heat, last, 0xfd, 0xe7, 0x25);
    expect_pixel(s.overlay, 0, (100 + 0x44) / 2, 1, 0x54 / 2); /* halves, rounded up */
    cr_expect_str_eq(fv_value_find(s.parameters, "colormap")->text, "viridis");
    cr_expect_str_eq(fv_value_find(s.parameters, "normalise")->text, "minmax");
    cr_expect_eq(fv_value_find(s.parameters, "overlay_fade")->integer, 0);
    forget(&s);
    fv_image_destroy(picture);
}

Test(eval_explanation_file, looks_can_be_chosen) {
    fv_explanation_looks looks = fv_explanation_looks_usual;
    fv_image *picture = red();

    looks.without_sign.colormap = &fv_colormap_gray;
    looks.without_sign.norm = &fv_heat_norm_positive;
    looks.shared_scale = true;
    shown s = show(&unsigned_method, &looks, picture);
    expect_pixel(s.heat, SIDE * SIDE / 4, 0, 0, 0);
    expect_pixel(s.heat, SIDE * SIDE - 1, 255, 255, 255);
    cr_expect_str_eq(fv_value_find(s.parameters, "normalise")->text, "positive");
    cr_expect_eq(fv_value_find(s.parameters, "shared_scale")->integer, 1);
    forget(&s);
    fv_image_destroy(picture);
}
