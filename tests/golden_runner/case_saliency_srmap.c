/* saliency/srmap.safetensors: the salient relevance map of given relevance, stage by stage.  Relevance
 * is stored [3,H,W]. */
#include "eval/saliency/sr_stages.h"
#include "tests/golden_runner/golden.h"

#include <math.h>
#include <stdlib.h>

#define TOLERANCE 1e-4
#define NEAR      1e-5 /* of the threshold, where foci may differ */
#define TAU       0.8

static fv_status failed(golden *g, const char *name, fv_status status) {
    if (status != FV_OK) golden_fail(g, name, "%s", fv_error_message());
    return status;
}

/* A stored [3,H,W] as [H,W,3], NULL after a failed line. */
static const float *load_relevance(golden *g, const char *map, int64_t *H, int64_t *W) {
    const char *name = golden_text(g, "%s.relevance", map);
    fv_shape shape;
    const float *chw = golden_f32(g, name, &shape);

    if (!chw) return NULL;
    if (shape.rank != 3 || shape.dim[0] != 3) {
        golden_fail(g, name, "not [3,H,W]");
        return NULL;
    }
    *H = shape.dim[1];
    *W = shape.dim[2];
    float *hwc = fv_arena_alloc(&g->arena, (size_t)(3 * *H * *W), sizeof *hwc);
    for (int64_t i = 0; hwc && i < *H * *W; i++)
        for (int64_t c = 0; c < 3; c++) hwc[3 * i + c] = chw[c * *H * *W + i];
    if (!hwc) golden_fail(g, name, "%s", fv_error_message());
    return hwc;
}

/* The picture and its colours, in front of the min-max. */
static void check_code(golden *g, const char *map, const float *relevance, int64_t n) {
    const char *u8 = golden_text(g, "%s.code.u8", map), *lab = golden_text(g, "%s.code.lab", map);
    fv_shape shape;
    const uint8_t *stored = golden_u8(g, u8, &shape);
    uint8_t *picture = fv_arena_alloc(&g->arena, (size_t)n, 3);
    float *colours = fv_arena_alloc(&g->arena, (size_t)(3 * n), sizeof *colours);
    int worst = 0;

    if (!stored || !picture || !colours) return;
    if (fv_shape_numel(&shape) != 3 * n) {
        golden_fail(g, u8, "another size");
        return;
    }
    fv_sr_picture(relevance, 3 * n, picture);
    for (int64_t i = 0; i < n; i++)
        for (int64_t c = 0; c < 3; c++) {
            const int d = abs((int)picture[3 * i + c] - (int)stored[c * n + i]);
            if (d > worst) worst = d;
        }
    golden_result(g, u8, worst, 0.0);
    fv_sr_lab(picture, n, colours);
    golden_compare(g, lab, colours, 3 * n, 0, TOLERANCE);
}

/* How many foci differ where the mean map, as stored, is not at the threshold. */
static void check_attended(golden *g, const char *prefix, const uint8_t *attended, int64_t n) {
    const char *name = golden_text(g, "%s.attended", prefix);
    fv_shape shape, mean_shape;
    const uint8_t *stored = golden_u8(g, name, &shape);
    const float *mean = golden_f32(g, golden_text(g, "%s.mean", prefix), &mean_shape);
    double largest = 0.0;
    int64_t differ = 0;

    if (!stored || !mean) return;
    if (fv_shape_numel(&shape) != n || fv_shape_numel(&mean_shape) != n) {
        golden_fail(g, name, "another size");
        return;
    }
    for (int64_t i = 0; i < n; i++) largest = fmax(largest, (double)mean[i]);
    for (int64_t i = 0; i < n; i++)
        differ += attended[i] != stored[i] && fabs((double)mean[i] - TAU * largest) > NEAR;
    golden_result(g, name, (double)differ, 0.0);
}

/* What is stored of a map beside sr. */
enum { FEATURE = 1, STAGES = 2, COLOURS = 4 };

static void check_stages(golden *g, const char *prefix, int stored, const fv_sr_result *r,
                         float *sr) {
    const int64_t n = r->height * r->width;

    if (stored & FEATURE)
        golden_compare(g, golden_text(g, "%s.feat", prefix), r->feature, n * r->channels, 0,
                       TOLERANCE);
    golden_compare(g, golden_text(g, "%s.sr", prefix), sr, n, 0, TOLERANCE);
    if (!(stored & STAGES)) return;
    golden_compare(g, golden_text(g, "%s.per_scale", prefix), r->per_scale, r->n_scales * n, 0,
                   TOLERANCE);
    golden_compare(g, golden_text(g, "%s.mean", prefix), r->mean, n, 0, TOLERANCE);
    check_attended(g, prefix, r->attended, n);
    golden_compare(g, golden_text(g, "%s.dfoci", prefix), r->distance, n, 0, TOLERANCE);
    fv_sr_min_max(sr, n, 1);
    golden_compare(g, golden_text(g, "%s.sr01", prefix), sr, n, 0, TOLERANCE);
}

static void check_map(golden *g, const char *map, const char *variant, int stored,
                      fv_sr_options options) {
    const char *prefix = golden_text(g, "%s.%s", map, variant);
    fv_sr_result result = {0};
    int64_t H, W;

    const float *relevance = load_relevance(g, map, &H, &W);
    if (!relevance) return;
    options.stages = true;
    float *sr = fv_arena_alloc(&g->arena, (size_t)(H * W), sizeof *sr);
    const fv_status status = sr ? fv_sr_map(relevance, H, W, &options, &result, sr) : FV_ERR_NOMEM;
    if (failed(g, prefix, status) == FV_OK) check_stages(g, prefix, stored, &result, sr);
    fv_sr_result_release(&result);
    if (stored & COLOURS) check_code(g, map, relevance, H * W);
}

static void check_resize(golden *g) {
    static const int sizes[][2] = {{10, 10}, {16, 16}, {26, 26}, {45, 37}};
    fv_shape shape;
    const float *stored = golden_f32(g, "resize.in", &shape);

    if (!stored) return;
    const fv_sr_image in = {shape.dim[0], shape.dim[1], 1, (float *)(uintptr_t)stored};
    for (int i = 0; i < 4; i++) {
        const int h = sizes[i][0], w = sizes[i][1];
        const char *name = golden_text(g, "resize.%dx%d", h, w);
        fv_sr_image out;
        if (failed(g, name, fv_sr_resize(&in, h, w, &out)) != FV_OK) continue;
        golden_compare(g, name, out.data, h * w, 0, TOLERANCE);
        fv_sr_image_release(&out);
    }
}

static void run(golden *g) {
    static const char *const maps[] = {"r64", "r32"};

    check_resize(g);
    for (int i = 0; i < 2; i++) {
        check_map(g, maps[i], "abs", FEATURE | STAGES, (fv_sr_options){.feature = FV_SR_ABS});
        check_map(g, maps[i], "pos", FEATURE, (fv_sr_options){.feature = FV_SR_POS});
        check_map(g, maps[i], "code", FEATURE | STAGES | COLOURS,
                  (fv_sr_options){.feature = FV_SR_CODE});
    }
    check_map(g, "rect24x32", "abs", STAGES, (fv_sr_options){0});
    check_map(g, "r32", "abs.rms", 0, (fv_sr_options){.rms = true});
    check_map(g, "r32", "abs.u5_K16", 0, (fv_sr_options){.patch = 5, .k = 16});
    check_map(g, "r32", "abs.foci_per_scale", 0, (fv_sr_options){.foci_per_scale = true});
}

const golden_kind golden_kind_saliency_srmap = {.prefix = "srmap", .exact = true, .run = run};
