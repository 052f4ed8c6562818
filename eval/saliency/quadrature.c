#include "eval/saliency/quadrature.h"

#include <math.h>

#define PI 3.14159265358979323846

/* P_n(t) of Legendre, and its derivative, by the three-term recurrence. */
static double legendre(int64_t n, double t, double *derivative) {
    double before = 1.0, p = t;

    for (int64_t k = 2; k <= n; k++) {
        const double next = ((double)(2 * k - 1) * t * p - (double)(k - 1) * before) / (double)k;
        before = p;
        p = next;
    }
    *derivative = (double)n * (t * p - before) / (t * t - 1.0);
    return p;
}

/* The roots of P_n by Newton's method, from Tricomi's approximation; those of [-1, 0] by symmetry. */
void fv_quadrature_gauss_legendre(int64_t n, double *at, double *weight) {
    for (int64_t i = 0; i < (n + 1) / 2; i++) {
        double t = cos(PI * ((double)i + 0.75) / ((double)n + 0.5)), slope = 0.0;
        for (int step = 0; step < 100; step++) {
            const double move = legendre(n, t, &slope) / slope;
            t -= move;
            if (fabs(move) < 1e-15) break;
        }
        if (n % 2 && i == n / 2) t = 0.0;
        legendre(n, t, &slope);
        const double w = 1.0 / ((1.0 - t * t) * slope * slope); /* half of the weight on [-1, 1] */
        at[i] = 0.5 * (1.0 - t);
        at[n - 1 - i] = 0.5 * (1.0 + t);
        weight[i] = weight[n - 1 - i] = w;
    }
}

void fv_quadrature_midpoint(int64_t n, double *at, double *weight) {
    for (int64_t k = 0; k < n; k++) {
        at[k] = ((double)k + 0.5) / (double)n;
        weight[k] = 1.0 / (double)n;
    }
}
