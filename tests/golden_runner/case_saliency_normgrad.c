#include "tests/golden_runner/case_saliency_normgrad.h"

#include "eval/saliency/combine_layers.h"
#include "eval/saliency/meta_step.h"
#include "eval/saliency/spatial_contribution.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define TIGHT   1e-5
#define PRODUCT 2e-4 /* weighted geometric means: steep where a map is near 0 */

/* ---- one method ---- */

typedef enum result { GRIDS, MAPS } result;

/* Grids or maps of the first n images, one behind the other; NULL after a failed line. */
static float *compute(const saliency_model *c, const char *name, const char *method, int64_t n,
                      result what, int64_t *numel) {
    fv_explanation e[SALIENCY_MAX_IMAGES];
    fv_saliency_choice choice;
    const fv_explain_request request = {
        .choice = &choice, .target = c->target, .against = FV_AGAINST_NOTHING};
    fv_status status = fv_saliency_parse(method, &c->g->arena, &choice);

    if (status == FV_OK) status = fv_explain(c->tape, c->model, c->pixels, n, &request, e);
    if (status != FV_OK) {
        golden_fail(c->g, name, "%s: %s", method, fv_error_message());
        return NULL;
    }
    const bool grid = what == GRIDS && e[0].grid;
    const int64_t one = grid ? e[0].grid_h * e[0].grid_w : e[0].height * e[0].width;
    float *all = fv_arena_alloc(&c->g->arena, (size_t)(n * one), sizeof *all);
    for (int64_t i = 0; i < n; i++) {
        const float *from = grid ? e[i].grid : e[i].map;
        if (all) memcpy(all + i * one, from, (size_t)one * sizeof *all);
        fv_explanation_destroy(&e[i]);
    }
    if (!all) golden_fail(c->g, name, "%s", fv_error_message());
    *numel = n * one;
    return all;
}

static void check(const saliency_model *c, const char *name, const char *method, int64_t n,
                  result what, double tolerance) {
    int64_t numel;
    const float *got = compute(c, name, method, n, what, &numel);
    if (got) golden_compare(c->g, name, got, numel, 0, tolerance);
}

/* map.<variant>.<node>[.up16]; taps: what the model calls them. */
static void check_nodes(const saliency_model *c, const char *const variants[],
                        const char *const nodes[], const char *const taps[]) {
    for (int v = 0; variants[v]; v++)
        for (int i = 0; nodes[i]; i++) {
            const char *method = golden_text(c->g, "normgrad:%s:layer=%s", variants[v], taps[i]);
            const char *name = golden_text(c->g, "map.%s.%s", variants[v], nodes[i]);
            const char *up = golden_text(c->g, "%s.up16", name);
            check(c, name, method, c->N, GRIDS, TIGHT);
            if (golden_has(c->g, up)) check(c, up, method, c->N, MAPS, TIGHT);
        }
}

/* ---- below the method ---- */

/* Records all images, watches one name and takes the gradient of the targets' logits or of
 * their cross entropy. */
static const fv_var *record(const saliency_model *c, const char *tap, bool entropy) {
    const fv_model_input *input = &c->model->input;
    const int64_t K = c->model->num_classes;
    const fv_tensor images = {(void *)(uintptr_t)c->pixels, FV_F32,
                              fv_shape_of(4, c->N, input->height, input->width, (int64_t)3)};
    float *dy = fv_arena_calloc(&c->g->arena, (size_t)(c->N * K), sizeof *dy);

    fv_tape_clear_watches(c->tape);
    fv_status status =
        dy ? fv_tape_watch(c->tape, tap, FV_WATCH_VALUE | FV_WATCH_GRAD) : FV_ERR_NOMEM;
    fv_tape_begin(c->tape, &(fv_step){.mode = FV_EXPLAIN, .samples = c->N, .chunk_samples = 1});
    fv_var *logits = fv_keep(fv_model_forward(c->model, fv_input(c->tape, &images, true)));
    if (status == FV_OK) status = fv_tape_status(c->tape);
    for (int64_t b = 0; status == FV_OK && b < c->N; b++) {
        const float *z = (const float *)logits->data + b * K;
        double total = 0.0;
        for (int64_t k = 0; k < K; k++) total += exp((double)z[k]);
        for (int64_t k = 0; entropy && k < K; k++)
            dy[b * K + k] = (float)(exp((double)z[k]) / total);
        dy[b * K + c->target[b]] += entropy ? -1.0f : 1.0f;
    }
    if (status == FV_OK) status = fv_tape_backward(c->tape, logits, dy);
    const fv_var *v = status == FV_OK ? fv_tape_find(c->tape, tap) : NULL;
    if (!v) golden_fail(c->g, tap, "%s", status == FV_OK ? "no such tap" : fv_error_message());
    return v;
}

/* ---- real layers, per token: the class token's number comes first ---- */

static void check_tokens(const saliency_model *c, const char *name, const char *path) {
    const char *weight = golden_text(c->g, "%s.weight.output", path);
    const fv_var *y = record(c, weight, false);

    if (!y) return;
    const int64_t N = y->shape.dim[1], K = fv_shape_last(&y->shape);
    const int64_t C = fv_shape_last(&y->in[0]->shape);
    const fv_spatial_contribution all = {.x = y->in[0]->data,
                                         .H = c->N * N,
                                         .W = 1,
                                         .C = C,
                                         .g = y->grad.data,
                                         .h = c->N * N,
                                         .w = 1,
                                         .K = K,
                                         .kernel_h = 1,
                                         .kernel_w = 1,
                                         .stride = 1,
                                         .groups = 1};
    float *got = fv_arena_alloc(&c->g->arena, (size_t)(c->N * N), sizeof *got);
    if (!got) return;
    fv_spatial_contribution_map(&all, FV_AGGREGATE_NORM, got);
    golden_compare(c->g, name, got, c->N * N, 0, TIGHT);

    /* the method leaves the class token out */
    int64_t numel;
    const char *line = golden_text(c->g, "%s.grid", name);
    const float *grid =
        compute(c, line, golden_text(c->g, "normgrad:real:layer=%s", path), c->N, GRIDS, &numel);
    double worst = grid && numel == c->N * (N - 1) ? 0.0 : (double)NAN;
    for (int64_t i = 0; i < c->N * (N - 1) && worst == 0.0; i++)
        worst = grid[i] == got[i / (N - 1) * N + 1 + i % (N - 1)] ? 0.0 : 1.0;
    golden_result(c->g, line, worst, 0.0);
}

/* ---- combinations ---- */

static void check_combinations(const saliency_model *c, const char *variant, const char *layers) {
    const char *base = golden_text(c->g, "normgrad:%s:layer=%s", variant, layers);
    const char *linear = golden_text(c->g, "combine.%s.geometric_linear", variant);

    check(c, golden_text(c->g, "combine.%s.product", variant), base, c->N, MAPS, PRODUCT);
    check(c, golden_text(c->g, "combine.%s.sum", variant),
          golden_text(c->g, "%s:arithmetic=1", base), c->N, MAPS, TIGHT);
    if (golden_has(c->g, linear))
        check(c, linear, golden_text(c->g, "%s:linear_weights=1", base), c->N, MAPS, PRODUCT);
}

/* Grad-CAM's enlarged maps are in the file. */
static void check_combined_maps(const saliency_model *c, const char *kind,
                                const char *const nodes[]) {
    static const struct {
        const char *name;
        fv_combination how;
        bool linear;
        double tolerance;
    } ways[] = {{"product", FV_COMBINE_PRODUCT, false, PRODUCT},
                {"sum", FV_COMBINE_SUM, false, TIGHT},
                {"geometric_linear", FV_COMBINE_PRODUCT, true, PRODUCT}};
    const int64_t n = c->model->input.height * c->model->input.width;
    float *got = fv_arena_alloc(&c->g->arena, (size_t)(c->N * n), sizeof *got);

    for (size_t k = 0; got && k < sizeof ways / sizeof *ways; k++) {
        for (int64_t b = 0; b < c->N; b++) {
            const float *maps[8];
            double weight[8];
            int L = 0;
            for (; nodes[L] && L < 8; L++) {
                const char *name = golden_text(c->g, "map.%s.%s.up16", kind, nodes[L]);
                const float *stored = golden_f32(c->g, name, NULL);
                float *map = fv_arena_alloc(&c->g->arena, (size_t)n, sizeof *map);
                if (!stored || !map) return;
                memcpy(map, stored + b * n, (size_t)n * sizeof *map);
                weight[L] = fv_map_normalise(map, n) ? (ways[k].linear ? L + 1 : 1) : 0;
                maps[L] = map;
            }
            fv_combine_maps(ways[k].how, maps, weight, L, n, got + b * n);
        }
        golden_compare(c->g, golden_text(c->g, "combine.%s.%s", kind, ways[k].name), got, c->N * n,
                       0, ways[k].tolerance);
    }
}

/* grid.<layer>.<aggregation>.<node> and .combined, the plain product. */
static void check_grid(const saliency_model *c, const char *stored_layer, const char *variant,
                       int how) {
    static const char *const aggregations[] = {"norm", "filter_norm", "sum", "max"};
    static const char *const nodes[] = {"relu2", "relu3", "relu4"};
    const char *prefix = golden_text(c->g, "grid.%s.%s", stored_layer, aggregations[how]);
    const int64_t n = c->model->input.height * c->model->input.width;
    float *all[3], *got = fv_arena_alloc(&c->g->arena, (size_t)(c->N * n), sizeof *got);
    int64_t numel;

    for (int i = 0; i < 3; i++) {
        const char *method =
            golden_text(c->g, "normgrad:%s:aggregate=%d:layer=%s", variant, how, nodes[i]);
        const char *name = golden_text(c->g, "%s.%s", prefix, nodes[i]);
        check(c, name, method, c->N, GRIDS, TIGHT);
        all[i] = compute(c, name, method, c->N, MAPS, &numel);
        if (!all[i] || !got) return;
    }
    for (int64_t b = 0; b < c->N; b++) {
        const float *maps[3];
        double weight[3];
        for (int i = 0; i < 3; i++) {
            maps[i] = all[i] + b * n;
            weight[i] = fv_map_normalise(all[i] + b * n, n) ? 1.0 : 0.0;
        }
        fv_combine_maps(FV_COMBINE_PLAIN, maps, weight, 3, n, got + b * n);
    }
    golden_compare(c->g, golden_text(c->g, "%s.combined", prefix), got, c->N * n, 0, TIGHT);
}

/* ---- the step ---- */

typedef struct stepped {
    const saliency_model *c;
    const char *prefix;
    const char *const *params;
} stepped;

static fv_status compare_params(fv_explain_run *run, void *arg) {
    const stepped *s = arg;

    for (int i = 0; s->params[i]; i++) {
        const fv_param *p = fv_params_find(&run->model->params, s->params[i]);
        const char *name = golden_text(s->c->g, "%s.%s.sample0", s->prefix, s->params[i]);
        if (p)
            golden_compare(s->c->g, name, p->value, p->numel, 0, TIGHT);
        else
            golden_fail(s->c->g, name, "the model has no such parameter");
    }
    return FV_OK;
}

static void check_step(const saliency_model *c, const char *prefix, double lr,
                       const char *const params[]) {
    const fv_saliency_choice choice = {.text = prefix};
    fv_explain_run run = {.tape = c->tape,
                          .model = c->model,
                          .choice = &choice,
                          .H = c->model->input.height,
                          .W = c->model->input.width,
                          .K = c->model->num_classes};
    stepped s = {c, prefix, params};

    if (fv_meta_step(&run, c->pixels, c->target[0], lr, compare_params, &s) != FV_OK)
        golden_fail(c->g, prefix, "%s", fv_error_message());
}

static void check_meta(const saliency_model *c) {
    static const char *const signs[] = {"pos", "neg"}, *const rates[] = {"0.001", "0.0025"};
    static const char *const nodes[] = {"relu3", "relu4"};

    for (int i = 0; i < 8; i++) {
        const char *sign = signs[i & 1], *rate = rates[i >> 1 & 1], *node = nodes[i >> 2];
        check(c, golden_text(c->g, "meta.%s.lr%s.conv1x1.%s", sign, rate, node),
              golden_text(c->g, "normgrad:meta_lr=%s%s:layer=%s", i & 1 ? "-" : "", rate, node),
              c->N, GRIDS, TIGHT);
    }
    check_step(c, "meta.pos.lr0.001", 0.001,
               (const char *const[]){"conv1.weight", "fc.weight", NULL});
}

/* ---- files ---- */

void normgrad_convnet_cases(const saliency_model *c) {
    static const char *const nodes[] = {"input", "conv1", "relu1", "pool1", "conv2", "relu2",
                                        "conv3", "relu3", "conv4", "relu4", NULL};
    static const char *const variants[] = {"bias",    "scaling",   "conv1x1",
                                           "conv3x3", "selective", NULL};
    static const char *const relus[] = {"relu1", "relu2", "relu3", "relu4", NULL};
    static const struct {
        const char *stored, *variant;
    } grid[] = {{"bias", "bias"},
                {"scaling", "scaling"},
                {"conv1x1", "conv1x1"},
                {"conv3x3", "conv3x3"},
                {"conv3x3dw", "depthwise3x3"}};

    check_nodes(c, variants, nodes, nodes);
    for (int i = 1; i <= 4; i++)
        check(c, golden_text(c->g, "normgrad_real.conv%d", i),
              golden_text(c->g, "normgrad:real:layer=conv%d", i), c->N, GRIDS, TIGHT);
    for (size_t i = 0; i < sizeof grid / sizeof *grid; i++)
        for (int how = 0; how < 4; how++) check_grid(c, grid[i].stored, grid[i].variant, how);
    check_combinations(c, "conv1x1", "relu1+relu2+relu3+relu4");
    check_combinations(c, "selective", "relu1+relu2+relu3+relu4");
    check_combined_maps(c, "gradcam", relus);
    check_meta(c);

    const fv_var *v = record(c, "relu4", true);
    float got[SALIENCY_MAX_IMAGES * 16];
    if (!v) return;
    const int64_t h = v->shape.dim[1], w = v->shape.dim[2], C = v->shape.dim[3];
    const fv_spatial_contribution all =
        fv_virtual_contribution(FV_VIRTUAL_CONV1X1, v->data, v->grad.data, c->N * h, w, C);
    if (c->N * h * w > (int64_t)(sizeof got / sizeof *got)) return;
    fv_spatial_contribution_map(&all, FV_AGGREGATE_NORM, got);
    golden_compare(c->g, "map.conv1x1.relu4.from_cross_entropy", got, c->N * h * w, 0, TIGHT);
}

void normgrad_vit_cases(const saliency_model *c) {
    static const char *const nodes[] = {
        "tokens.0",     "tokens.1",       "tokens.2",     "blocks.0.norm1",
        "blocks.0.mid", "blocks.1.norm1", "blocks.1.mid", NULL};
    static const char *const taps[] = {
        "tokens",       "blocks.0",       "blocks.1",     "blocks.0.norm1",
        "blocks.0.mid", "blocks.1.norm1", "blocks.1.mid", NULL};
    static const char *const variants[] = {"bias", "scaling", "conv1x1", "selective", NULL};

    check_nodes(c, variants, nodes, taps);
    for (int i = 0; i < 2; i++) {
        check_tokens(c, golden_text(c->g, "normgrad_real.blocks.%d.fc1", i),
                     golden_text(c->g, "blocks.%d.mlp.fc1", i));
        check_tokens(c, golden_text(c->g, "normgrad_real.blocks.%d.proj", i),
                     golden_text(c->g, "blocks.%d.attn.proj", i));
    }
    check(c, "normgrad_real.patch_embed", "normgrad:real", c->N, GRIDS, TIGHT);
    check_combinations(c, "conv1x1", "tokens+blocks.0");
    check(c, "meta.pos.lr0.001.conv1x1.tokens.1.sample0", "normgrad:meta_lr=0.001:layer=blocks.0",
          1, GRIDS, TIGHT);
}

/* What float32 is allowed to lose. */
static const struct {
    const char *model;
    double node, product;
} tolerances[] = {
    {"mini_halonet_h1", 2e-2, 2e-3}, {"mini_halonet_ts", 2e-2, 1e-2}, {"", 1e-5, 3e-3}};

void normgrad_family_cases(const saliency_model *c) {
    const char *model = c->model->name;
    size_t t = 0;

    while (tolerances[t].model[0] && strcmp(tolerances[t].model, model) != 0) t++;
    for (int64_t i = 0; i < fv_safetensors_count(c->g->file); i++) {
        const char *name = fv_safetensors_at(c->g->file, i)->name;
        if (strncmp(name, "normgrad.", 9) != 0) continue;
        if (strcmp(name, "normgrad.combine.product") == 0)
            check(c, name, "normgrad", c->N, MAPS, tolerances[t].product);
        else if (strcmp(name, "normgrad.combine.sum") == 0)
            check(c, name, "normgrad:arithmetic=1", c->N, MAPS, tolerances[t].node);
        else
            check(c, name, golden_text(c->g, "normgrad:layer=%s", name + 9), c->N, GRIDS,
                  tolerances[t].node);
    }
}
