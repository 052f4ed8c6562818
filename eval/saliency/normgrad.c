/* normgrad.c - NormGrad (Rebuffi, Fong, Ji and Vedaldi 2020): at each position of an activation, the
 * size of what it adds to the gradient of the weights of a layer that could stand there
 * (spatial_contribution.h), with g = d score / d activation.
 *
 * One layer gives its grid.  Maps of several are enlarged, brought to [0,1] and combined
 * (combine_layers.h).  `real` takes a layer of the network instead: x at its input, g at its output. */
#include "core/ops/op_list.h"
#include "eval/saliency/combine_layers.h"
#include "eval/saliency/explain_run.h"
#include "eval/saliency/meta_step.h"
#include "eval/saliency/spatial_contribution.h"
#include "eval/saliency/upsample.h"

#include <math.h>
#include <string.h>

#define SAME_GRADIENT 1e-6 /* of the largest component */

static const char *const names[] = {"conv1x1", "conv3x3", "depthwise3x3", "scaling",
                                    "bias",    "real",    "selective",    NULL};

/* In their order.  A real layer has its own kernel. */
static const fv_virtual_layer layers[] = {
    FV_VIRTUAL_CONV1X1, FV_VIRTUAL_CONV3X3, FV_VIRTUAL_DEPTHWISE3X3, FV_VIRTUAL_SCALING,
    FV_VIRTUAL_BIAS,    FV_VIRTUAL_CONV1X1, FV_VIRTUAL_SCALING};

static bool is_variant(const fv_saliency_choice *choice, const char *name) {
    return strcmp(choice->variant, name) == 0;
}

static fv_virtual_layer layer_of(const fv_saliency_choice *choice) {
    int i = 0;
    while (names[i] && !is_variant(choice, names[i])) i++;
    return layers[names[i] ? i : 0];
}

/* Selective NormGrad: only what pushes the score up, from the authors' code. */
static fv_aggregation aggregation_of(const fv_saliency_choice *choice) {
    const int how = (int)fv_saliency_number(choice, "aggregate");
    return is_variant(choice, "selective") ? FV_AGGREGATE_FILTER_NORM : (fv_aggregation)how;
}

static bool is_real(const fv_saliency_choice *choice) { return is_variant(choice, "real"); }

static bool has_sign(const fv_saliency_choice *choice) {
    const fv_aggregation how = aggregation_of(choice);
    return how == FV_AGGREGATE_SUM || how == FV_AGGREGATE_MAX;
}

static bool trains(const fv_saliency_choice *choice) {
    return fv_saliency_number(choice, "meta_lr") != 0.0;
}

/* A real layer is found by its weight. */
static fv_status prepare(fv_explain_run *run) {
    if (is_variant(run->choice, "selective") &&
        fv_saliency_number(run->choice, "aggregate") > FV_AGGREGATE_FILTER_NORM)
        return FV_FAIL(FV_ERR_CONFIG, "%s: selective is the norm of positive components",
                       run->choice->text);
    for (int i = 0; is_real(run->choice) && i < run->n_layers; i++) {
        run->layers[i] = fv_arena_printf(run->arena, "%s.weight.output", run->layers[i]);
        if (!run->layers[i]) return FV_ERR_NOMEM;
    }
    return fv_explain_watch_layers(run, FV_WATCH_VALUE | FV_WATCH_GRAD);
}

/* ---- one layer ---- */

/* What is odd about a map. */
typedef enum finding {
    FOUND_NOTHING,
    FOUND_NO_GRADIENT,
    FOUND_ONE_GRADIENT, /* the same at all positions */
    FOUND_CONSTANT
} finding;

static finding judge(const float *g, int64_t positions, int64_t C, const float *grid) {
    double largest = 0.0, difference = 0.0;

    for (int64_t i = 0; g && i < positions * C; i++) {
        largest = fmax(largest, fabs((double)g[i]));
        difference = fmax(difference, fabs((double)g[i] - (double)g[i % C]));
    }
    if (largest == 0.0) return FOUND_NO_GRADIENT;
    if (fv_map_is_constant(grid, positions)) return FOUND_CONSTANT;
    return difference <= SAME_GRADIENT * largest ? FOUND_ONE_GRADIENT : FOUND_NOTHING;
}

/* The layer whose output a node is, of image b; FV_ERR_CONFIG where it has another kind of weight. */
static fv_status real_layer(const fv_node *node, const char *name, int64_t b,
                            fv_spatial_contribution *out) {
    const fv_var *y = node->var;
    const fv_shape *x = &y->in[0]->shape;
    const int64_t C = fv_shape_last(x);

    if (y->op == &fv_op_linear) {
        *out = fv_virtual_contribution(FV_VIRTUAL_CONV1X1, NULL, NULL, node->h, node->w, C);
        out->x = (const float *)y->in[0]->data + (b * node->rows + node->skip) * C;
        return FV_OK;
    }
    if (y->op != &fv_op_conv2d)
        return FV_FAIL(FV_ERR_CONFIG, "%.80s is not of a convolution or a linear layer", name);
    const fv_conv2d_args *conv = y->attr;
    *out = (fv_spatial_contribution){.x = (const float *)y->in[0]->data +
                                          b * (x->dim[1] * x->dim[2] * C),
                                     .H = x->dim[1],
                                     .W = x->dim[2],
                                     .C = C,
                                     .h = node->h,
                                     .w = node->w,
                                     .kernel_h = y->in[1]->shape.dim[2],
                                     .kernel_w = y->in[1]->shape.dim[3],
                                     .stride = conv->stride,
                                     .padding = conv->padding,
                                     .groups = conv->groups};
    return FV_OK;
}

/* The grid [h,w] of image b of the recorded pass. */
static fv_status compute(const fv_explain_run *r, const fv_node *node, const char *name, int64_t b,
                         float *grid, finding *found) {
    const int64_t first = (b * node->rows + node->skip) * node->C, n = node->h * node->w;
    const float *g = node->grad ? node->grad + first : NULL;
    fv_spatial_contribution layer = fv_virtual_contribution(
        layer_of(r->choice), node->value + first, g, node->h, node->w, node->C);

    if (is_real(r->choice)) FV_TRY(real_layer(node, name, b, &layer));
    layer.g = g;
    layer.K = node->C;
    if (g)
        fv_spatial_contribution_map(&layer, aggregation_of(r->choice), grid);
    else /* the score does not depend on it */
        memset(grid, 0, (size_t)n * sizeof *grid);
    *found = judge(g, n, node->C, grid);
    return FV_OK;
}

static void warn(const fv_explain_run *r, fv_explanation *e, const char *name, finding found) {
    const fv_model *m = r->model;
    const bool has_other = m->prefix_tokens > 0 && m->n_features > 1;

    if (found == FOUND_NO_GRADIENT)
        fv_explanation_warn(e, "%.60s: no position has a gradient%s%.60s", name,
                            has_other ? "; where a class token alone is read, take the input of "
                                        "the last block, "
                                      : "",
                            has_other ? m->feature_names[m->n_features - 2] : "");
    if (found == FOUND_CONSTANT) fv_explanation_warn(e, "%.60s: constant map", name);
    if (found == FOUND_ONE_GRADIENT)
        fv_explanation_warn(e,
                            "%.60s: all positions have the same gradient, so that maps of any two "
                            "classes hardly differ; take an earlier layer",
                            name);
}

/* ---- one image ---- */

static fv_status explain_layer(const fv_explain_run *r, int64_t b, fv_explanation *e) {
    finding found;
    fv_node node;

    FV_TRY(fv_explain_node(r, r->layers[0], &node));
    float *grid = fv_explanation_grid(e, node.h, node.w);
    if (!grid) return FV_ERR_NOMEM;
    FV_TRY(compute(r, &node, r->layers[0], b, grid, &found));
    warn(r, e, r->layers[0], found);
    return FV_OK;
}

/* Layers that are left out have weight 0. */
static fv_status enlarge(const fv_explain_run *r, int64_t b, int l, float *map, finding *found) {
    fv_node node;

    FV_TRY(fv_explain_node(r, r->layers[l], &node));
    float *grid = fv_arena_alloc(r->arena, (size_t)(node.h * node.w), sizeof *grid);
    if (!grid) return FV_ERR_NOMEM;
    FV_TRY(compute(r, &node, r->layers[l], b, grid, found));
    if (!fv_kernel()->all_finite(node.h * node.w, grid)) /* would look like a constant map */
        return FV_FAIL(FV_ERR_NONFINITE, "%.80s: the map is not finite", r->layers[l]);
    fv_upsample(grid, node.h, node.w, map, r->H, r->W);
    return FV_OK;
}

static fv_status explain_layers(const fv_explain_run *r, int64_t b, fv_explanation *e) {
    const bool linear = fv_saliency_number(r->choice, "linear_weights") > 0.0;
    const bool arithmetic = fv_saliency_number(r->choice, "arithmetic") > 0.0;
    const int64_t n = r->H * r->W;
    const float *maps[FV_EXPLAIN_MAX_LAYERS];
    double weight[FV_EXPLAIN_MAX_LAYERS];
    finding found[FV_EXPLAIN_MAX_LAYERS];
    int informative = 0, last = 0;

    for (int l = 0; l < r->n_layers; l++) {
        float *map = fv_arena_alloc(r->arena, (size_t)n, sizeof *map);
        if (!map) return FV_ERR_NOMEM;
        FV_TRY(enlarge(r, b, l, map, &found[l]));
        const bool stays = fv_map_normalise(map, n);
        if (!stays && found[l] != FOUND_NO_GRADIENT) found[l] = FOUND_CONSTANT;
        maps[l] = map;
        weight[l] = stays ? (linear ? (double)(l + 1) : 1.0) : 0.0;
        if (stays) last = l;
        informative += stays && found[l] != FOUND_ONE_GRADIENT;
    }
    /* Among others a layer whose map is the same for all classes does no harm. */
    for (int l = 0; l < r->n_layers; l++)
        if (weight[l] == 0.0) warn(r, e, r->layers[l], found[l]);
    if (!informative) warn(r, e, r->layers[last], found[last]);
    fv_combine_maps(arithmetic ? FV_COMBINE_SUM : FV_COMBINE_PRODUCT, maps, weight, r->n_layers, n,
                    e->map);
    return FV_OK;
}

static fv_status explain_image(const fv_explain_run *r, int64_t b, fv_explanation *e) {
    const fv_arena_mark mark = fv_arena_get_mark(r->arena);
    const fv_status status = r->n_layers == 1 ? explain_layer(r, b, e) : explain_layers(r, b, e);
    fv_arena_rewind(r->arena, mark);
    return status;
}

/* ---- all images ---- */

/* Image *arg alone, with the weights that the step has made. */
static fv_status after_step(fv_explain_run *r, void *arg) {
    const int64_t b = *(const int64_t *)arg;

    FV_TRY(fv_explain_record(r, r->pixels + b * r->H * r->W * 3, 1));
    FV_TRY(fv_explain_backward(r, r->weight + b * r->K));
    return explain_image(r, 0, &r->out[b]);
}

static fv_status run(fv_explain_run *r) {
    const double lr = fv_saliency_number(r->choice, "meta_lr");

    for (int64_t b = 0; lr != 0.0 && b < r->B; b++)
        FV_TRY(fv_meta_step(r, r->pixels + b * r->H * r->W * 3, r->target[b], lr, after_step, &b));
    if (lr != 0.0) return FV_OK;
    FV_TRY(fv_explain_backward(r, r->weight));
    for (int64_t b = 0; b < r->B; b++) FV_TRY(explain_image(r, b, &r->out[b]));
    return FV_OK;
}

static const fv_saliency_param params[] = {
    {"aggregate", 0.0, 0.0, 3.0, true,
     "the part as a number: 0 its norm, 1 the norm of its positive components, 2 sum, 3 maximum"},
    {"meta_lr", 0.0, -1.0, 1.0, false,
     "one step of descent on the image's own loss first, with this rate; negative: of ascent"},
    {"arithmetic", 0.0, 0.0, 1.0, true, "1: layers are added, not multiplied"},
    {"linear_weights", 0.0, 0.0, 1.0, true, "1: layer l of L weighs l / L, not all the same"},
    {0}};

const fv_saliency_method fv_saliency_normgrad = {
    .name = "normgrad",
    .summary = "size of each position's part of a weight gradient; variants are layers",
    .source = "Rebuffi et al. 2020, There and Back Again",
    .variants = names,
    .params = params,
    .kind = FV_SALIENCY_GRID,
    .takes_layer = true,
    .variant_has_sign = has_sign,
    .trains = trains,
    .prepare = prepare,
    .run = run};
