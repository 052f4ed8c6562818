/* Closed forms against the outer products themselves, and these against the weight gradients that the tape
 * computes. */
#include "eval/saliency/spatial_contribution.h"

#include "core/op.h"
#include "core/param.h"
#include "tests/support/approx.h"
#include "tests/support/generator.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#define MOST 4096

static float x[MOST], g[MOST];

static void draw(const char *name, int64_t n, float *to) {
    cr_assert_leq(n, MOST);
    for (int64_t i = 0; i < n; i++)
        to[i] = (float)fv_generator_draw(fv_generator_seed("", name), (uint64_t)i);
}

/* Component (k, c, u, v) of what output position (i, j) adds to the gradient of weight [K,C/groups,kh,kw]. */
static double component(const fv_spatial_contribution *s, int64_t i, int64_t j, int64_t k,
                        int64_t c, int64_t u, int64_t v) {
    const int64_t row = i * s->stride - s->padding + u, column = j * s->stride - s->padding + v;
    const int64_t channel = k / (s->K / s->groups) * (s->C / s->groups) + c;
    const double slope = (double)s->g[(i * s->w + j) * s->K + k];

    if (!s->x) return slope;
    if (row < 0 || row >= s->H || column < 0 || column >= s->W) return 0.0;
    return slope * (double)s->x[(row * s->W + column) * s->C + channel];
}

/* All components of a position, one behind the other; their number. */
static int64_t components(const fv_spatial_contribution *s, int64_t i, int64_t j, double *out) {
    int64_t n = 0;

    for (int64_t k = 0; k < s->K; k++)
        for (int64_t c = 0; c < (s->x ? s->C / s->groups : 1); c++)
            for (int64_t u = 0; u < s->kernel_h; u++)
                for (int64_t v = 0; v < s->kernel_w; v++) out[n++] = component(s, i, j, k, c, u, v);
    return n;
}

static double aggregate(fv_aggregation how, const double *v, int64_t n) {
    double squares = 0.0, positive = 0.0, sum = 0.0, largest = -INFINITY;

    for (int64_t i = 0; i < n; i++) {
        squares += v[i] * v[i];
        positive += fmax(v[i], 0.0) * fmax(v[i], 0.0);
        sum += v[i];
        largest = fmax(largest, v[i]);
    }
    return ((double[]){sqrt(squares), sqrt(positive), sum, largest})[how];
}

static void check_all(const fv_spatial_contribution *s, const char *what) {
    double want[MOST], parts[MOST];
    float got[MOST];

    for (int how = FV_AGGREGATE_NORM; how <= FV_AGGREGATE_MAX; how++) {
        for (int64_t u = 0; u < s->h * s->w; u++) {
            const int64_t n = components(s, u / s->w, u % s->w, parts);
            cr_assert_leq(n, MOST);
            want[u] = aggregate((fv_aggregation)how, parts, n);
        }
        fv_spatial_contribution_map(s, (fv_aggregation)how, got);
        cr_expect_leq(approx_error(s->h * s->w, got, want), 1e-6, "%s, aggregation %d", what, how);
    }
}

Test(eval_spatial_contribution, closed_forms_are_those_of_the_outer_products) {
    static const char *const names[] = {"bias", "scaling", "conv1x1", "conv3x3", "depthwise3x3"};

    draw("x", 5 * 4 * 6, x);
    draw("g", 5 * 4 * 6, g);
    for (int layer = FV_VIRTUAL_BIAS; layer <= FV_VIRTUAL_DEPTHWISE3X3; layer++) {
        const fv_spatial_contribution s =
            fv_virtual_contribution((fv_virtual_layer)layer, x, g, 5, 4, 6);
        check_all(&s, names[layer]);
    }
}

/* Without a value above 0 the zeros around the map are the largest components. */
Test(eval_spatial_contribution, padding_counts_as_zeros) {
    draw("x", 3 * 3 * 2, x);
    draw("g", 3 * 3 * 2, g);
    for (int i = 0; i < 18; i++) {
        x[i] = -1.0f - fabsf(x[i]);
        g[i] = 1.0f + fabsf(g[i]);
    }
    const fv_spatial_contribution s = fv_virtual_contribution(FV_VIRTUAL_CONV3X3, x, g, 3, 3, 2);
    float map[9];
    fv_spatial_contribution_map(&s, FV_AGGREGATE_MAX, map);
    cr_expect_eq(map[0], 0.0f);
    cr_expect_lt(map[4], 0.0f);
    check_all(&s, "negative x");
}

Test(eval_spatial_contribution, conv1x1_is_the_product_of_two_norms) {
    float map[12];

    draw("x", 12 * 7, x);
    draw("g", 12 * 7, g);
    const fv_spatial_contribution s = fv_virtual_contribution(FV_VIRTUAL_CONV1X1, x, g, 3, 4, 7);
    fv_spatial_contribution_map(&s, FV_AGGREGATE_NORM, map);
    for (int u = 0; u < 12; u++) {
        const double a = fv_kernel()->sum_squares(7, x + 7 * u);
        const double b = fv_kernel()->sum_squares(7, g + 7 * u);
        cr_expect_float_eq(map[u], sqrt(a) * sqrt(b), 1e-6);
    }
}

Test(eval_spatial_contribution, a_nan_shows_in_every_aggregation) {
    float map[4];

    draw("x", 4 * 3, x);
    draw("g", 4 * 3, g);
    g[3] = NAN;
    for (int how = FV_AGGREGATE_NORM; how <= FV_AGGREGATE_MAX; how++) {
        const fv_spatial_contribution s =
            fv_virtual_contribution(FV_VIRTUAL_CONV1X1, x, g, 2, 2, 3);
        fv_spatial_contribution_map(&s, (fv_aggregation)how, map);
        cr_expect(isnan(map[1]), "aggregation %d", how);
        cr_expect_not(isnan(map[0]), "aggregation %d", how);
    }
}

/* ---- real layers ---- */

typedef struct layer {
    fv_arena arena;
    fv_params params;
    fv_tape *tape;
    fv_param *weight;
    const fv_var *y;
} layer;

/* One pass of one image through a convolution (or, with 2-D weights, a linear layer); y's gradient is g. */
static void run_layer(layer *l, fv_shape input, fv_shape weight, const fv_conv2d_args *conv) {
    const fv_tensor image = {x, FV_F32, input};

    *l = (layer){0};
    l->params.arena = &l->arena;
    l->weight = fv_params_add(&l->params, "weight", weight, (fv_init){FV_INIT_ONES, 0});
    cr_assert_eq(fv_params_alloc(&l->params, (fv_params_alloc_options){.grad = true}), FV_OK);
    fv_params_init(&l->params, 1);
    cr_assert_eq(fv_tape_create(&l->tape), FV_OK);
    draw("x", fv_shape_numel(&input), x);
    fv_tape_begin(l->tape, &(fv_step){.mode = FV_TRAIN});
    fv_var *in = fv_input(l->tape, &image, false), *w = fv_param_var(l->tape, l->weight);
    fv_var *y = conv ? fv_conv2d(in, w, NULL, conv) : fv_linear(in, w, NULL);
    cr_assert_eq(fv_tape_status(l->tape), FV_OK, "%s", fv_error_message());
    draw("g", fv_shape_numel(&y->shape), g);
    cr_assert_eq(fv_tape_backward(l->tape, y, g), FV_OK, "%s", fv_error_message());
    l->y = y;
}

static void close_layer(layer *l) {
    fv_tape_destroy(l->tape);
    fv_params_destroy(&l->params);
    fv_arena_destroy(&l->arena);
}

/* The parts of all positions are the weight gradient. */
static void expect_gradient(const layer *l, const fv_spatial_contribution *s, const char *what) {
    double sum[MOST] = {0}, parts[MOST];

    for (int64_t u = 0; u < s->h * s->w; u++) {
        const int64_t n = components(s, u / s->w, u % s->w, parts);
        cr_assert_eq(n, l->weight->numel, "%s", what);
        for (int64_t i = 0; i < n; i++) sum[i] += parts[i];
    }
    cr_expect_leq(approx_error(l->weight->numel, l->weight->grad, sum), 1e-5, "%s", what);
    check_all(s, what);
}

Test(eval_spatial_contribution, parts_of_a_linear_layer_add_up_to_its_gradient) {
    layer l;

    run_layer(&l, (fv_shape){3, {1, 12, 5}}, (fv_shape){2, {7, 5}}, NULL);
    fv_spatial_contribution s = fv_virtual_contribution(FV_VIRTUAL_CONV1X1, x, g, 3, 4, 5);
    s.K = 7;
    expect_gradient(&l, &s, "linear");
    close_layer(&l);
}

Test(eval_spatial_contribution, parts_of_convolutions_add_up_to_their_gradients) {
    static const struct {
        const char *what;
        int64_t K, C, kernel, stride, padding, groups;
    } convs[] = {{"plain", 5, 4, 3, 1, 1, 1},
                 {"strided", 6, 4, 3, 2, 1, 1},
                 {"grouped", 6, 4, 3, 1, 1, 2},
                 {"depthwise", 4, 4, 5, 2, 2, 4},
                 {"patches", 5, 3, 4, 4, 0, 1}};

    for (size_t i = 0; i < sizeof convs / sizeof *convs; i++) {
        const int64_t k = convs[i].kernel, C = convs[i].C, groups = convs[i].groups;
        const fv_conv2d_args args = {
            .stride = convs[i].stride, .padding = convs[i].padding, .groups = groups};
        layer l;

        run_layer(&l, (fv_shape){4, {1, 8, 8, C}}, fv_shape_of(4, convs[i].K, C / groups, k, k),
                  &args);
        const fv_spatial_contribution s = {.x = x,
                                           .H = 8,
                                           .W = 8,
                                           .C = C,
                                           .g = g,
                                           .h = l.y->shape.dim[1],
                                           .w = l.y->shape.dim[2],
                                           .K = convs[i].K,
                                           .kernel_h = k,
                                           .kernel_w = k,
                                           .stride = convs[i].stride,
                                           .padding = convs[i].padding,
                                           .groups = groups};
        expect_gradient(&l, &s, convs[i].what);
        close_layer(&l);
    }
}

/* A linear layer that is the identity changes nothing, and its gradient's parts are those that the node has
 * without it. */
Test(eval_spatial_contribution, a_virtual_layer_is_an_identity_put_there) {
    layer l;
    double sum[25] = {0}, parts[25];

    run_layer(&l, (fv_shape){3, {1, 12, 5}}, (fv_shape){2, {5, 5}}, NULL);
    for (int i = 0; i < 25; i++) l.weight->value[i] = i % 6 == 0 ? 1.0f : 0.0f;
    const fv_tensor image = {x, FV_F32, {3, {1, 12, 5}}};
    fv_tape_begin(l.tape, &(fv_step){.mode = FV_TRAIN});
    fv_var *node = fv_input(l.tape, &image, true);
    fv_var *y = fv_keep(fv_linear(node, fv_param_var(l.tape, l.weight), NULL));
    cr_assert_eq(fv_tape_backward(l.tape, y, g), FV_OK, "%s", fv_error_message());
    cr_expect(approx_same(60, y->data, x));
    cr_expect(approx_same(60, node->grad.data, g));
    const fv_spatial_contribution s =
        fv_virtual_contribution(FV_VIRTUAL_CONV1X1, x, node->grad.data, 3, 4, 5);
    for (int64_t u = 0; u < 12; u++) {
        components(&s, u / 4, u % 4, parts);
        for (int i = 0; i < 25; i++) sum[i] += parts[i];
    }
    cr_expect_leq(approx_error(25, l.weight->grad, sum), 1e-5);
    close_layer(&l);
}
