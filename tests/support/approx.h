/* approx.h - how far numbers are from what they should be. */
#ifndef FV_TESTS_SUPPORT_APPROX_H
#define FV_TESTS_SUPPORT_APPROX_H

#include <stdbool.h>
#include <stdint.h>

/* max |got - want| / max |want| (the plain difference when want is all zero); infinite when either
 * holds a NaN. */
double approx_error(int64_t n, const float *got, const double *want);

/* Equal bits. */
bool approx_same(int64_t n, const float *a, const float *b);

#endif
