#include "eval/saliency/combine_layers.h"

#include <math.h>
#include <string.h>

#define CONSTANT_RANGE 1e-6 /* of the largest magnitude */

static void extremes(const float *map, int64_t n, double *low, double *high) {
    *low = *high = n ? (double)map[0] : 0.0;
    for (int64_t i = 1; i < n; i++) {
        *low = fmin(*low, (double)map[i]);
        *high = fmax(*high, (double)map[i]);
    }
}

bool fv_map_is_constant(const float *map, int64_t n) {
    double low, high;

    extremes(map, n, &low, &high);
    return high - low <= CONSTANT_RANGE * fmax(fabs(low), fabs(high));
}

bool fv_map_normalise(float *map, int64_t n) {
    double low, high;

    if (fv_map_is_constant(map, n)) {
        memset(map, 0, (size_t)n * sizeof *map);
        return false;
    }
    extremes(map, n, &low, &high);
    for (int64_t i = 0; i < n; i++) map[i] = (float)(((double)map[i] - low) / (high - low));
    return true;
}

static double product(double value, double m, double w) { return value * pow(m, w); }

static double sum(double value, double m, double w) { return value + w * m; }

static double plain(double value, double m, double w) {
    (void)w;
    return value * m;
}

static const struct {
    double first;
    double (*take)(double value, double m, double w);
} combinations[] = {[FV_COMBINE_PRODUCT] = {1.0, product},
                    [FV_COMBINE_SUM] = {0.0, sum},
                    [FV_COMBINE_PLAIN] = {1.0, plain}};

void fv_combine_maps(fv_combination how, const float *const map[], const double weight[], int L,
                     int64_t n, float *out) {
    double total = 0.0;

    for (int l = 0; l < L; l++) total += weight[l];
    if (!(total > 0.0)) {
        memset(out, 0, (size_t)n * sizeof *out);
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        double value = combinations[how].first;
        for (int l = 0; l < L; l++)
            if (weight[l] > 0.0)
                value = combinations[how].take(value, (double)map[l][i], weight[l] / total);
        out[i] = (float)value;
    }
}
