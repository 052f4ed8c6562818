#include "tests/golden_runner/case_saliency_gradients.h"

#include "eval/saliency/cam.h"
#include "eval/saliency/rise.h"
#include "eval/saliency/smoothgrad.h"

#include <math.h>
#include <string.h>

#define TOLERANCE 1e-5
#define ABSOLUTE  1.0 /* as scale: an error in the tensor's own unit */

/* ---- one layer ---- */

/* max_c |g_c| at a layer, which is no method of its own. */
static fv_status largest_gradient(fv_explain_run *r, const float *a, const float *g, int64_t n,
                                  int64_t C, float *map) {
    (void)r, (void)a;
    for (int64_t i = 0; i < n * C; i++) map[i / C] = fmaxf(map[i / C], fabsf(g[i]));
    return FV_OK;
}

static fv_status gradient_run(fv_explain_run *r) { return fv_cam_run(r, largest_gradient); }

static const fv_saliency_method gradient_at_layer = {.name = "gradient_maxabs",
                                                     .kind = FV_SALIENCY_GRID,
                                                     .takes_layer = true,
                                                     .prepare = fv_cam_prepare,
                                                     .run = gradient_run};

/* map.<kind>.<node>, and its enlargement where that is stored. */
static void check_map(const saliency_model *m, const char *kind, const char *method,
                      const char *node, const char *tap, double scale) {
    golden *g = m->g;
    const char *name = golden_text(g, "map.%s.%s", kind, node);
    const char *enlarged = golden_text(g, "%s.up16", name);
    const fv_saliency_choice choice = {.text = kind, .method = &gradient_at_layer, .layer = tap};
    const char *text = method ? golden_text(g, "%s:layer=%s", method, tap) : NULL;
    fv_explanation out[SALIENCY_MAX_IMAGES];

    if (!saliency_model_explain(m, name, text, &choice, out)) return;
    saliency_model_compare(m, name, out, false, scale, TOLERANCE);
    if (golden_has(g, enlarged)) saliency_model_compare(m, enlarged, out, true, scale, TOLERANCE);
    for (int64_t i = 0; i < m->N; i++) fv_explanation_destroy(&out[i]);
}

static void check_gradient_times_input(const saliency_model *m, double tolerance) {
    saliency_model_check(m, "gradxinput", "gradient_x_input", false, 0, tolerance);
}

/* ig.<rule>: attributions, and what they lack to completeness. */
static void check_integrated(const saliency_model *m, const char *name, const char *method) {
    fv_explanation out[SALIENCY_MAX_IMAGES];
    float delta[SALIENCY_MAX_IMAGES];

    if (!saliency_model_explain(m, name, method, NULL, out)) return;
    saliency_model_compare(m, name, out, false, 0, TOLERANCE);
    for (int64_t i = 0; i < m->N; i++) {
        delta[i] = NAN;
        for (int k = 0; k < out[i].n_numbers; k++)
            if (strcmp(out[i].number[k].name, "delta") == 0)
                delta[i] = (float)out[i].number[k].value;
        fv_explanation_destroy(&out[i]);
    }
    golden_compare(m->g, golden_text(m->g, "%s.delta", name), delta, m->N, ABSOLUTE, TOLERANCE);
}

/* ---- given noise ---- */

/* What the run of a method below reads: methods take no pointers. */
static const float *given;  /* [N,n,H,W,3] noise, or [n,H,W] masks */
static int64_t given_count; /* n */
static fv_smoothgrad_kind statistic;

static fv_status smoothgrad_run(fv_explain_run *r) {
    const int64_t size = 3 * r->H * r->W;

    for (int64_t b = 0; b < r->B; b++)
        FV_TRY(fv_smoothgrad(r, b, given_count, 0.15, statistic, given + b * given_count * size,
                             r->out[b].relevance));
    return FV_OK;
}

static const fv_saliency_method smoothgrad_given = {
    .name = "smoothgrad", .kind = FV_SALIENCY_PIXELS, .run = smoothgrad_run};

/* Stored [n,N,3,H,W] -> [N,n,H,W,3]. */
static const float *read_noise(const saliency_model *m) {
    const int64_t pixels = m->H * m->W;
    fv_shape s;
    const float *stored = golden_f32(m->g, "smoothgrad.noise_unit", &s);

    if (!stored) return NULL;
    given_count = s.dim[0];
    float *noise = fv_arena_alloc(&m->g->arena, (size_t)fv_shape_numel(&s), sizeof *noise);
    for (int64_t k = 0; noise && k < given_count; k++)
        for (int64_t b = 0; b < m->N; b++)
            for (int64_t i = 0; i < 3 * pixels; i++)
                noise[(b * given_count + k) * 3 * pixels + i] =
                    stored[((k * m->N + b) * 3 + i % 3) * pixels + i / 3];
    return noise;
}

static void check_smoothgrad(const saliency_model *m) {
    static const struct {
        const char *name;
        fv_smoothgrad_kind kind;
    } kinds[] = {{"smoothgrad.level_0.15", FV_SMOOTHGRAD_MEAN},
                 {"smoothgrad_sq.level_0.15", FV_SMOOTHGRAD_SQUARED},
                 {"vargrad.level_0.15", FV_SMOOTHGRAD_VARIANCE}};
    const fv_saliency_choice choice = {.text = "smoothgrad", .method = &smoothgrad_given};
    fv_explanation out[SALIENCY_MAX_IMAGES];

    given = read_noise(m);
    if (!given) return;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        statistic = kinds[i].kind;
        if (!saliency_model_explain(m, kinds[i].name, NULL, &choice, out)) continue;
        saliency_model_compare(m, kinds[i].name, out, false, 0, TOLERANCE);
        for (int64_t b = 0; b < m->N; b++) fv_explanation_destroy(&out[b]);
    }
}

/* ---- given masks ---- */

static fv_status rise_run(fv_explain_run *r) {
    for (int64_t b = 0; b < r->B; b++)
        FV_TRY(fv_rise_map(r, b, given_count, 4, 0.5, given, r->out[b].map));
    return FV_OK;
}

static const fv_saliency_method rise_given = {
    .name = "rise", .kind = FV_SALIENCY_MAP, .run = rise_run};

/* rise.masks from rise.grid and rise.shift_yx. */
static void check_masks(const saliency_model *m) {
    golden *g = m->g;
    fv_shape s;
    const float *grid = golden_f32(g, "rise.grid", &s);
    const int64_t *shift = golden_i64(g, "rise.shift_yx", NULL);

    if (!grid || !shift) return;
    const int64_t n = s.dim[0], cells = s.dim[1], pixels = m->H * m->W;
    const int64_t enlarged = fv_rise_side(cells, m->H) * fv_rise_side(cells, m->W);
    float *room = fv_arena_alloc(&g->arena, (size_t)enlarged, sizeof *room);
    float *masks = fv_arena_alloc(&g->arena, (size_t)(n * pixels), sizeof *masks);
    if (!room || !masks) {
        golden_fail(g, "rise.masks", "%s", fv_error_message());
        return;
    }
    for (int64_t k = 0; k < n; k++)
        fv_rise_mask(grid + k * cells * cells, cells, shift[2 * k], shift[2 * k + 1], m->H, m->W,
                     room, masks + k * pixels);
    golden_compare(g, "rise.masks", masks, n * pixels, 0, TOLERANCE);
}

static void check_rise(const saliency_model *m) {
    const fv_saliency_choice choice = {.text = "rise", .method = &rise_given};
    fv_explanation out[SALIENCY_MAX_IMAGES];
    fv_shape s;

    check_masks(m);
    given = golden_f32(m->g, "rise.masks", &s);
    if (!given) return;
    given_count = s.dim[0];
    if (!saliency_model_explain(m, "rise.map", NULL, &choice, out)) return;
    saliency_model_compare(m, "rise.map", out, false, 0, TOLERANCE);
    for (int64_t b = 0; b < m->N; b++) fv_explanation_destroy(&out[b]);
}

/* ---- files ---- */

void gradients_convnet_cases(const saliency_model *m) {
    static const char *const layers[] = {"input", "conv1", "relu1", "pool1", "conv2", "relu2",
                                         "conv3", "relu3", "conv4", "relu4", NULL};

    check_gradient_times_input(m, TOLERANCE);
    saliency_model_check(m, "saliency_maxabs", "gradient", false, 0, TOLERANCE);
    for (int i = 0; layers[i]; i++) {
        check_map(m, "gradcam", "gradcam", layers[i], layers[i], 0);
        check_map(m, "layercam", "layercam", layers[i], layers[i], 0);
        check_map(m, "linear_approx", "hirescam", layers[i], layers[i], 0);
        check_map(m, "gradient_maxabs", NULL, layers[i], layers[i], 0);
    }
    check_integrated(m, "ig.gausslegendre_50", "integrated_gradients");
    check_integrated(m, "ig.midpoint_32", "integrated_gradients:midpoint=1:steps=32");
    check_smoothgrad(m);
    check_rise(m);
    saliency_model_check(m, "occlusion.k4s2", "occlusion:size=4:stride=2", false, 0, TOLERANCE);
}

void gradients_vit_cases(const saliency_model *m) {
    static const struct {
        const char *node, *tap;
    } layers[] = {{"tokens.0", "tokens"},           {"tokens.1", "blocks.0"},
                  {"tokens.2", "blocks.1"},         {"blocks.0.norm1", "blocks.0.norm1"},
                  {"blocks.0.mid", "blocks.0.mid"}, {"blocks.1.norm1", "blocks.1.norm1"},
                  {"blocks.1.mid", "blocks.1.mid"}};

    check_gradient_times_input(m, TOLERANCE);
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++) {
        /* A residual stream that only a layer norm reads: rounding noise around zero. */
        const bool noise = strcmp(layers[i].node, "tokens.1") == 0;
        check_map(m, "gradcam", "gradcam", layers[i].node, layers[i].tap, 0);
        check_map(m, "linear_approx", "hirescam", layers[i].node, layers[i].tap,
                  noise ? ABSOLUTE : 0);
        check_map(m, "gradient_maxabs", NULL, layers[i].node, layers[i].tap, 0);
    }
    check_integrated(m, "ig.gausslegendre_50", "integrated_gradients");
}

void gradients_family_cases(const saliency_model *m) {
    const bool ts = strcmp(m->model->name, "mini_halonet_ts") == 0;   /* ill-conditioned */
    const bool relu = strcmp(m->model->name, "mini_halonet_h1") == 0; /* rounding flips ReLUs */
    const char *node = fv_safetensors_metadata(m->g->file, "gradcam_node");

    saliency_model_check(m, "gradxinput", "gradient_x_input", true, 0, ts || relu ? 2e-2 : 1e-5);
    if (!node) node = "?";
    saliency_model_check(m, golden_text(m->g, "gradcam.%s", node),
                         golden_text(m->g, "gradcam:layer=%s", node), false, 0,
                         ts     ? 1e-3
                         : relu ? 1e-4
                                : 5e-5);
}
