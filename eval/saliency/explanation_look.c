#include "eval/saliency/explanation_look.h"

#include <stdio.h>
#include <string.h>

const fv_explanation_looks fv_explanation_looks_usual = {
    .with_sign = {.colormap = &fv_colormap_bwr,
                  .norm = &fv_heat_norm_percentile,
                  .parameter = 99.0,
                  .blend = {.alpha = 0.8f, .fade = true}},
    .without_sign = {
        .colormap = &fv_colormap_viridis, .norm = &fv_heat_norm_minmax, .blend = {.alpha = 0.5f}}};

/* ---- what is asked for ---- */

/* Takes one name; *is_signed: the kind of maps that it is for. */
typedef fv_status (*take_name)(const char *name, fv_explanation_looks *looks, bool *is_signed);

static fv_explanation_look *look_of(fv_explanation_looks *looks, bool is_signed) {
    return is_signed ? &looks->with_sign : &looks->without_sign;
}

static fv_status take_colormap(const char *name, fv_explanation_looks *looks, bool *is_signed) {
    const fv_colormap *colormap = NULL;

    FV_TRY(fv_colormap_find(name, &colormap));
    *is_signed = colormap->diverging;
    look_of(looks, *is_signed)->colormap = colormap;
    return FV_OK;
}

static fv_status take_norm(const char *name, fv_explanation_looks *looks, bool *is_signed) {
    const fv_heat_norm *norm = NULL;
    double parameter = 0.0;

    FV_TRY(fv_heat_norm_find(name, &norm, &parameter));
    *is_signed = norm->is_signed;
    look_of(looks, *is_signed)->norm = norm;
    look_of(looks, *is_signed)->parameter = parameter;
    return FV_OK;
}

static bool any_method(const fv_saliency_choice *methods, int n, bool is_signed) {
    for (int i = 0; i < n; i++)
        if (fv_saliency_has_sign(&methods[i]) == is_signed) return true;
    return false;
}

static fv_status take_names(const char *text, take_name take, const fv_saliency_choice *methods,
                            int n_methods, fv_explanation_looks *looks) {
    bool taken[2] = {false, false};
    char name[128];

    for (const char *at = text; *at;) {
        const size_t n = strcspn(at, ",");
        bool is_signed = false;
        snprintf(name, sizeof name, "%.*s", n < sizeof name ? (int)n : (int)sizeof name - 1, at);
        FV_TRY(take(name, looks, &is_signed));
        const char *kind = is_signed ? "with sign" : "without sign";
        if (taken[is_signed])
            return FV_FAIL(FV_ERR_CONFIG, "'%.80s': a second one for maps %s", name, kind);
        if (!any_method(methods, n_methods, is_signed))
            return FV_FAIL(FV_ERR_CONFIG,
                           "'%.80s' is for maps %s, which none of the methods gives "
                           "(fovea explain --help lists what there is)",
                           name, kind);
        taken[is_signed] = true;
        at += n + (at[n] == ',');
    }
    return FV_OK;
}

fv_status fv_explanation_looks_parse(const char *colormap, const char *normalise,
                                     const fv_saliency_choice *methods, int n_methods,
                                     fv_explanation_looks *out) {
    *out = fv_explanation_looks_usual;
    fv_status status = take_names(colormap, take_colormap, methods, n_methods, out);
    if (status != FV_OK) return fv_error_context(status, "--colormap");
    status = take_names(normalise, take_norm, methods, n_methods, out);
    return status == FV_OK ? FV_OK : fv_error_context(status, "--normalise");
}

/* ---- what follows ---- */

const fv_explanation_look *fv_explanation_look_of(const fv_explanation_looks *looks,
                                                  const fv_saliency_choice *choice) {
    if (!looks) looks = &fv_explanation_looks_usual;
    return fv_saliency_has_sign(choice) ? &looks->with_sign : &looks->without_sign;
}

fv_status fv_explanation_look_style(const fv_explanation_look *look, const float *map, int64_t n,
                                    fv_heat_style *out) {
    out->colormap = look->colormap;
    return fv_heat_range_of(map, n, look->norm, look->parameter, &out->range);
}

void fv_explanation_look_describe(const fv_explanation_look *look, fv_arena *arena, fv_value *map) {
    const fv_heat_norm *norm = look->norm;
    char text[64];

    if (norm->most > 0.0)
        snprintf(text, sizeof text, "%s:%.9g", norm->name, look->parameter);
    else
        snprintf(text, sizeof text, "%s", norm->name);
    fv_value_set(arena, map, "colormap", fv_value_string(arena, look->colormap->name));
    fv_value_set(arena, map, "normalise", fv_value_string(arena, text));
    fv_value_set(arena, map, "overlay_alpha", fv_value_real(arena, (double)look->blend.alpha));
    fv_value_set(arena, map, "overlay_fade", fv_value_bool(arena, look->blend.fade));
}
