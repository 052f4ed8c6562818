#include "eval/saliency/spatial_contribution.h"

#include "core/parallel.h"

#include <math.h>
#include <stdbool.h>

static const struct {
    int64_t kernel;
    bool has_input, per_channel;
} virtual_layers[] = {
    [FV_VIRTUAL_BIAS] = {1, false, false},       [FV_VIRTUAL_SCALING] = {1, true, true},
    [FV_VIRTUAL_CONV1X1] = {1, true, false},     [FV_VIRTUAL_CONV3X3] = {3, true, false},
    [FV_VIRTUAL_DEPTHWISE3X3] = {3, true, true},
};

fv_spatial_contribution fv_virtual_contribution(fv_virtual_layer layer, const float *x,
                                                const float *g, int64_t h, int64_t w, int64_t C) {
    const int64_t kernel = virtual_layers[layer].kernel;

    return (fv_spatial_contribution){.x = virtual_layers[layer].has_input ? x : NULL,
                                     .H = h,
                                     .W = w,
                                     .C = C,
                                     .g = g,
                                     .h = h,
                                     .w = w,
                                     .K = C,
                                     .kernel_h = kernel,
                                     .kernel_w = kernel,
                                     .stride = 1,
                                     .padding = kernel / 2,
                                     .groups = virtual_layers[layer].per_channel ? C : 1};
}

/* What a vector gives to its outer product with another one. */
typedef struct factor {
    double positive, negative; /* sums of squares of the components of either sign */
    double sum, largest, smallest;
} factor;

static const factor nothing = {.largest = -INFINITY, .smallest = INFINITY};
static const factor one = {.positive = 1.0, .sum = 1.0, .largest = 1.0, .smallest = 1.0};

static void take(factor *f, int64_t n, const float *v) {
    for (int64_t i = 0; i < n; i++) {
        const double a = (double)v[i];
        *(a < 0.0 ? &f->negative : &f->positive) += a * a;
        f->sum += a;
        f->largest = fmax(f->largest, a);
        f->smallest = fmin(f->smallest, a);
    }
}

static void take_zero(factor *f) {
    f->largest = fmax(f->largest, 0.0);
    f->smallest = fmin(f->smallest, 0.0);
}

/* The neighbourhood of output position (i, j), channels of one group. */
static factor neighbourhood(const fv_spatial_contribution *s, int64_t i, int64_t j, int64_t group) {
    const int64_t C = s->C / s->groups;
    factor f = nothing;

    if (!s->x) return one;
    for (int64_t u = 0; u < s->kernel_h; u++)
        for (int64_t v = 0; v < s->kernel_w; v++) {
            const int64_t y = i * s->stride - s->padding + u, x = j * s->stride - s->padding + v;
            if (y < 0 || y >= s->H || x < 0 || x >= s->W)
                take_zero(&f);
            else
                take(&f, C, s->x + (y * s->W + x) * s->C + group * C);
        }
    return f;
}

/* ---- from the two factors to the number, summed or maximised over groups ---- */

static double norm(const factor *x, const factor *g) {
    return (x->positive + x->negative) * (g->positive + g->negative);
}

static double filter_norm(const factor *x, const factor *g) {
    return x->positive * g->positive + x->negative * g->negative;
}

static double sum(const factor *x, const factor *g) { return x->sum * g->sum; }

/* fmax drops a NaN that the sums have kept. */
static double largest(const factor *x, const factor *g) {
    if (isnan(x->sum) || isnan(g->sum)) return (double)NAN;
    return fmax(fmax(x->largest * g->largest, x->largest * g->smallest),
                fmax(x->smallest * g->largest, x->smallest * g->smallest));
}

static double add(double a, double b) { return a + b; }

static double greater(double a, double b) { return isnan(a) || a > b ? a : b; }

static double itself(double a) { return a; }

static const struct aggregation {
    double (*of)(const factor *x, const factor *g);
    double (*over_groups)(double a, double b);
    double first;
    double (*finish)(double a);
} aggregations[] = {
    [FV_AGGREGATE_NORM] = {norm, add, 0.0, sqrt},
    [FV_AGGREGATE_FILTER_NORM] = {filter_norm, add, 0.0, sqrt},
    [FV_AGGREGATE_SUM] = {sum, add, 0.0, itself},
    [FV_AGGREGATE_MAX] = {largest, greater, -INFINITY, itself},
};

typedef struct task_args {
    const fv_spatial_contribution *layer;
    const struct aggregation *how;
    float *map;
} task_args;

static void row_task(int64_t i, void *arg) {
    const task_args *a = arg;
    const fv_spatial_contribution *s = a->layer;
    const int64_t K = s->K / s->groups;

    for (int64_t j = 0; j < s->w; j++) {
        const int64_t u = i * s->w + j;
        double value = a->how->first;
        for (int64_t group = 0; group < s->groups; group++) {
            const factor x = neighbourhood(s, i, j, group);
            factor g = nothing;
            take(&g, K, s->g + u * s->K + group * K);
            value = a->how->over_groups(value, a->how->of(&x, &g));
        }
        a->map[u] = (float)a->how->finish(value);
    }
}

void fv_spatial_contribution_map(const fv_spatial_contribution *layer, fv_aggregation how,
                                 float *map) {
    fv_parallel(layer->h, row_task, &(task_args){layer, &aggregations[how], map});
}
