#include "tests/support/gradcheck.h"

static double weighted_sum(int64_t n, const double *y, const float *dy) {
    double sum = 0.0;
    for (int64_t k = 0; k < n; k++) sum += y[k] * (double)dy[k];
    return sum;
}

/* The step balances the error h^2 f''' / 6 against rounding, 1e-16 / h. */
double gradcheck_derivative(gradcheck_fn *f, void *user, double *const in[], int which, int64_t i,
                            int64_t n_y, const float *dy, double *y) {
    const double x = in[which][i], h = 1e-5;

    in[which][i] = x + h;
    f(in, y, user);
    const double above = weighted_sum(n_y, y, dy);
    in[which][i] = x - h;
    f(in, y, user);
    const double below = weighted_sum(n_y, y, dy);
    in[which][i] = x;
    return (above - below) / (2.0 * h);
}
