/* Which colours and ranges go to which maps. */
#include "eval/saliency/explanation_look.h"

#include <criterion/criterion.h>
#include <string.h>

static const fv_saliency_method with_method = {.name = "with", .has_sign = true},
                                without_method = {.name = "without"};
static const fv_saliency_choice both[] = {{.text = "with", .method = &with_method},
                                          {.text = "without", .method = &without_method}};

static fv_explanation_looks looks;

TestSuite(eval_explanation_look);

/* n 2: both methods; 1: the one with sign. */
static void parse(const char *colormap, const char *normalise, int n) {
    cr_assert_eq(fv_explanation_looks_parse(colormap, normalise, both, n, &looks), FV_OK, "%s",
                 fv_error_message());
}

static void refused(const char *colormap, const char *normalise, int n, const char *part) {
    cr_expect_eq(fv_explanation_looks_parse(colormap, normalise, both, n, &looks), FV_ERR_CONFIG,
                 "'%s' '%s'", colormap, normalise);
    cr_expect(strstr(fv_error_message(), part), "'%s' is missing: %s", part, fv_error_message());
}

Test(eval_explanation_look, usual_looks_follow_the_sign) {
    parse("", "", 2);
    const fv_explanation_look *with = fv_explanation_look_of(&looks, &both[0]);
    const fv_explanation_look *without = fv_explanation_look_of(&looks, &both[1]);

    cr_expect_eq(with->colormap, &fv_colormap_bwr);
    cr_expect_eq(with->norm, &fv_heat_norm_percentile);
    cr_expect_eq(with->parameter, 99.0);
    cr_expect(with->blend.fade && with->blend.alpha == 0.8f);
    cr_expect_eq(without->colormap, &fv_colormap_viridis);
    cr_expect_eq(without->norm, &fv_heat_norm_minmax);
    cr_expect(!without->blend.fade && without->blend.alpha == 0.5f);
    cr_expect_eq(fv_explanation_look_of(NULL, &both[1])->colormap, &fv_colormap_viridis);
}

Test(eval_explanation_look, a_choice_goes_to_the_maps_it_fits) {
    parse("turbo", "mass:0.9", 2);
    cr_expect_eq(looks.without_sign.colormap, &fv_colormap_turbo);
    cr_expect_eq(looks.with_sign.colormap, &fv_colormap_bwr);
    cr_expect_eq(looks.with_sign.norm, &fv_heat_norm_mass);
    cr_expect_eq(looks.with_sign.parameter, 0.9);
    cr_expect_eq(looks.without_sign.norm, &fv_heat_norm_minmax);
    parse("hot,seismic", "max,positive", 2);
    cr_expect_eq(looks.without_sign.colormap, &fv_colormap_hot);
    cr_expect_eq(looks.with_sign.colormap, &fv_colormap_seismic);
    cr_expect_eq(looks.with_sign.norm, &fv_heat_norm_max);
    cr_expect_eq(looks.without_sign.norm, &fv_heat_norm_positive);
}

Test(eval_explanation_look, what_fits_no_map_is_refused) {
    refused("virids", "", 2, "--colormap: unknown colour map 'virids'; did you mean 'viridis'?");
    refused("", "percentle:95", 2,
            "--normalise: unknown normalisation 'percentle:95'; did you mean 'percentile'?");
    refused("", "percentile:0", 2, "--normalise: ");
    refused("", "percentile:101", 2, "--normalise: ");
    refused("viridis", "", 1, "'viridis' is for maps without sign");
    refused("", "minmax", 1, "'minmax' is for maps without sign");
    refused("bwr,seismic", "", 2, "'seismic': a second one for maps with sign");
    refused("", "minmax,positive", 2, "a second one for maps without sign");
    refused("bwr,,turbo", "", 2, "unknown colour map ''");
}

Test(eval_explanation_look, is_described_as_it_is_given) {
    fv_arena arena = {0};
    fv_value *map = fv_value_new(&arena, FV_VALUE_MAP);

    parse("", "percentile:97.5,positive", 2);
    fv_explanation_look_describe(&looks.with_sign, &arena, map);
    cr_expect_str_eq(fv_value_find(map, "colormap")->text, "bwr");
    cr_expect_str_eq(fv_value_find(map, "normalise")->text, "percentile:97.5");
    cr_expect_eq(fv_value_find(map, "overlay_alpha")->real, (double)0.8f);
    cr_expect_eq(fv_value_find(map, "overlay_fade")->integer, 1);
    fv_explanation_look_describe(&looks.without_sign, &arena, map);
    cr_expect_str_eq(fv_value_find(map, "normalise")->text, "positive");
    fv_arena_destroy(&arena);
}

Test(eval_explanation_look, range_is_that_of_the_map) {
    const float map[] = {-1.0f, 0.5f, 3.0f, -4.0f};
    fv_heat_style style;

    parse("seismic", "max", 2);
    cr_assert_eq(fv_explanation_look_style(&looks.with_sign, map, 4, &style), FV_OK);
    cr_expect(style.colormap == &fv_colormap_seismic && style.range.high == 4.0 &&
              style.range.is_signed);
    cr_assert_eq(fv_explanation_look_style(&looks.without_sign, map, 4, &style), FV_OK);
    cr_expect(style.range.low == -4.0 && style.range.high == 3.0 && !style.range.is_signed);
}
