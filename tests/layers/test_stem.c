#include "layers/stem.h"

#include "tests/support/layer_run.h"

#include <criterion/criterion.h>

#include <string.h>

static layer_run run;
static fv_stem stem;

static void enter(void) { layer_run_open(&run); }
static void leave(void) { layer_run_close(&run); }

TestSuite(layers_stem, .init = enter, .fini = leave);

static void make(const fv_stem_config *cfg) {
    const char *path = cfg->names == FV_NAMES_BYOB ? "stem" : "";
    cr_assert_eq(fv_stem_init(&stem, layer_run_scope(&run, path), "stem", cfg), FV_OK, "%s",
                 fv_error_message());
}

static fv_var *forward(int64_t H, int64_t W) {
    fv_var *x = layer_run_begin(&run, &(fv_step){.mode = FV_TRAIN},
                                fv_shape_of(4, (int64_t)2, H, W, (int64_t)3));
    fv_var *y = fv_keep(fv_stem_forward(&stem, x));
    cr_assert_eq(fv_tape_status(run.tape), FV_OK, "%s", fv_error_message());
    return y;
}

static void check(const fv_stem_config *cfg, int64_t stride, const char *shape) {
    char text[FV_SHAPE_TEXT];

    layer_run_close(&run);
    layer_run_open(&run);
    make(cfg);
    layer_run_ready(&run);
    cr_assert_eq(stem.stride, stride);
    cr_assert_eq(fv_tape_watch(run.tape, "stem", FV_WATCH_VALUE), FV_OK);
    fv_var *y = forward(21, 16);
    cr_assert_str_eq(fv_shape_text(&y->shape, text), shape);
    cr_assert_eq(fv_tape_find(run.tape, "stem"), y);
}

Test(layers_stem, halves_or_quarters_an_image) {
    check(&(fv_stem_config){.kind = FV_STEM_7X7, .dim = 12}, 2, "2x11x8x12");
    check(&(fv_stem_config){.kind = FV_STEM_3X3, .dim = 12}, 2, "2x11x8x12");
    check(&(fv_stem_config){.kind = FV_STEM_7X7, .dim = 12, .pool = true}, 4, "2x6x4x12");
    check(&(fv_stem_config){.kind = FV_STEM_TIERED, .dim = 16, .pool = true}, 4, "2x6x4x16");
    check(&(fv_stem_config){.kind = FV_STEM_TIERED, .dim = 16}, 4, "2x6x4x16");
}

/* First weight, its shape, and the first of the last unit. */
static void check_names(const fv_stem_config *cfg, int64_t count, const char *first,
                        const char *shape, const char *last) {
    char text[FV_SHAPE_TEXT];

    layer_run_close(&run);
    layer_run_open(&run);
    make(cfg);
    cr_assert_eq(run.params.count, count);
    cr_assert_str_eq(run.params.item[0]->name, first);
    cr_assert_str_eq(fv_shape_text(&run.params.item[0]->shape, text), shape);
    cr_assert_str_eq(run.params.item[count - 6]->name, last);
    cr_assert_eq(strncmp(first, fv_stem_first_conv(&stem), strlen(fv_stem_first_conv(&stem))), 0);
}

Test(layers_stem, declares_timms_names) {
    check_names(&(fv_stem_config){.kind = FV_STEM_7X7, .dim = 64, .pool = true}, 6,
                "stem.conv1.conv.weight", "64x3x7x7", "stem.conv1.conv.weight");
    check_names(&(fv_stem_config){.kind = FV_STEM_3X3, .dim = 32}, 6, "stem.conv.weight",
                "32x3x3x3", "stem.conv.weight");
    check_names(&(fv_stem_config){.kind = FV_STEM_TIERED, .dim = 64, .pool = true}, 18,
                "stem.conv1.conv.weight", "24x3x3x3", "stem.conv3.conv.weight");
    check_names(
        &(fv_stem_config){.kind = FV_STEM_7X7, .dim = 64, .pool = true, .names = FV_NAMES_RESNET},
        6, "conv1.weight", "64x3x7x7", "conv1.weight");
    check_names(
        &(fv_stem_config){
            .kind = FV_STEM_TIERED, .dim = 64, .pool = true, .names = FV_NAMES_RESNET},
        18, "conv1.0.weight", "24x3x3x3", "conv1.6.weight");
    cr_assert_str_eq(run.params.item[13]->name, "bn1.weight");
}

Test(layers_stem, tiers_need_a_multiple_of_8) {
    const fv_stem_config cfg = {.kind = FV_STEM_TIERED, .dim = 36};
    cr_assert_eq(fv_stem_init(&stem, layer_run_scope(&run, "stem"), "stem", &cfg), FV_ERR_CONFIG);
    cr_assert(strstr(fv_error_message(), "a stem of 36 channels"), "%s", fv_error_message());
}
