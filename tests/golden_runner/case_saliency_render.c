/* render.safetensors: colour maps exactly, normalised maps, paintings and overlays to one level. */
#include "eval/saliency/heatmap.h"
#include "tests/golden_runner/golden.h"

#include <stdlib.h>

#define TOLERANCE 1e-6 /* of normalised maps */
#define LEVEL     1.0

/* What every case paints. */
typedef struct material {
    const float *map; /* [height, width] */
    fv_image picture; /* pixels in the file's arena */
} material;

static bool load(golden *g, material *m) {
    fv_shape map, picture;
    const uint8_t *pixels = golden_u8(g, "image", &picture);

    m->map = golden_f32(g, "R", &map);
    if (!pixels || !m->map) return false;
    if (map.rank != 2 || picture.rank != 3 || picture.dim[0] != map.dim[0] ||
        picture.dim[1] != map.dim[1] || picture.dim[2] != 3) {
        golden_fail(g, "image", "not of the map's size");
        return false;
    }
    m->picture = (fv_image){
        .pixels = (uint8_t *)(uintptr_t)pixels, .height = map.dim[0], .width = map.dim[1]};
    return true;
}

/* Largest difference in levels. */
static void compare_bytes(golden *g, const char *name, const uint8_t *bytes, int64_t n,
                          double tolerance) {
    fv_shape shape;
    const uint8_t *stored = golden_u8(g, name, &shape);
    int worst = 0;

    if (!stored) return;
    if (fv_shape_numel(&shape) != n) {
        golden_fail(g, name, "another size");
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        const int d = abs((int)stored[i] - (int)bytes[i]);
        if (d > worst) worst = d;
    }
    golden_result(g, name, worst, tolerance);
}

/* The file says how many anchors two of the maps have. */
static void check_tables(golden *g) {
    const fv_colormap *m;

    for (int i = 0; (m = fv_colormap_at(i)); i++) {
        fv_colormap_table table;
        const char *name = golden_text(g, "lut.%s", m->name);
        if (!golden_has(g, name)) name = golden_text(g, "lut.%s%d", m->name, m->n_anchors);
        fv_colormap_fill(m, &table);
        compare_bytes(g, name, &table.rgb[0][0], sizeof table.rgb, 0.0);
    }
}

static bool range_of(golden *g, const material *m, const char *norm_text, fv_heat_range *out) {
    const fv_heat_norm *norm;
    double parameter;

    if (fv_heat_norm_find(norm_text, &norm, &parameter) == FV_OK &&
        fv_heat_range_of(m->map, m->picture.height * m->picture.width, norm, parameter, out) ==
            FV_OK)
        return true;
    golden_fail(g, norm_text, "%s", fv_error_message());
    return false;
}

static void check_norm(golden *g, const material *m, const char *norm_text, const char *name) {
    const int64_t n = m->picture.height * m->picture.width;
    float *v = fv_arena_alloc(&g->arena, (size_t)n, sizeof *v);
    fv_heat_range range;

    if (!range_of(g, m, norm_text, &range)) return;
    if (!v) {
        golden_fail(g, name, "%s", fv_error_message());
        return;
    }
    for (int64_t i = 0; i < n; i++) v[i] = (float)fv_heat_value(&range, m->map[i]);
    golden_compare(g, name, v, n, 0, TOLERANCE);
}

/* Painted without blend, else laid over the picture. */
static void check_picture(golden *g, const material *m, const char *norm_text,
                          const fv_colormap *colormap, const fv_heat_blend *blend,
                          const char *name) {
    fv_heat_style style = {.colormap = colormap};
    fv_image out = {0};

    if (!range_of(g, m, norm_text, &style.range)) return;
    const fv_status status =
        blend ? fv_heat_overlay(m->map, &m->picture, &style, blend, &out)
              : fv_heat_paint(m->map, m->picture.height, m->picture.width, &style, &out);
    if (status == FV_OK)
        compare_bytes(g, name, out.pixels, 3 * out.height * out.width, LEVEL);
    else
        golden_fail(g, name, "%s", fv_error_message());
    fv_image_release(&out);
}

static void run(golden *g) {
    const fv_heat_blend half = {.alpha = 0.5f}, fading = {.alpha = 0.8f, .fade = true};
    material m;

    check_tables(g);
    if (!load(g, &m)) return;
    check_norm(g, &m, "max", "norm.symmetric_max");
    check_norm(g, &m, "percentile:99", "norm.symmetric_p99");
    check_norm(g, &m, "mass:0.98", "norm.symmetric_mass98");
    check_norm(g, &m, "minmax", "norm.unsigned_minmax");
    check_norm(g, &m, "positive", "norm.positive_max");
    check_picture(g, &m, "percentile:99", &fv_colormap_bwr, NULL, "paint.bwr.symmetric_p99");
    check_picture(g, &m, "minmax", &fv_colormap_jet, NULL, "paint.jet.unsigned_minmax");
    check_picture(g, &m, "minmax", &fv_colormap_jet, &half, "overlay.jet.alpha0.5");
    check_picture(g, &m, "percentile:99", &fv_colormap_bwr, &fading,
                  "overlay.bwr.alpha_by_magnitude0.8_on_gray");
}

const golden_kind golden_kind_render = {.prefix = "render", .exact = true, .run = run};
