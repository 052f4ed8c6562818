#include "tests/support/approx.h"

#include <math.h>
#include <string.h>

double approx_error(int64_t n, const float *got, const double *want) {
    double worst = 0.0, largest = 0.0;

    for (int64_t i = 0; i < n; i++) {
        const double error = fabs((double)got[i] - want[i]);
        if (isnan(error)) return INFINITY;
        if (error > worst) worst = error;
        if (fabs(want[i]) > largest) largest = fabs(want[i]);
    }
    return largest > 0.0 ? worst / largest : worst;
}

bool approx_same(int64_t n, const float *a, const float *b) {
    return memcmp(a, b, (size_t)n * sizeof *a) == 0;
}
