/* gradcheck.h - central differences of a function in double. */
#ifndef FV_TESTS_SUPPORT_GRADCHECK_H
#define FV_TESTS_SUPPORT_GRADCHECK_H

#include <stdint.h>

/* y from the inputs; user is the caller's. */
typedef void gradcheck_fn(double *const in[], double *y, void *user);

/* d/dx of sum_k dy_k f_k at element i of input `which`; y is scratch of n_y.  The input is moved and
 * put back. */
double gradcheck_derivative(gradcheck_fn *f, void *user, double *const in[], int which, int64_t i,
                            int64_t n_y, const float *dy, double *y);

#endif
