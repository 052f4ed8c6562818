/* quadrature.h - rules sum_k weight_k f(at_k) for the integral of f over [0, 1]. */
#ifndef FV_EVAL_SALIENCY_QUADRATURE_H
#define FV_EVAL_SALIENCY_QUADRATURE_H

#include <stdint.h>

/* Gauss-Legendre: exact for polynomials of degree 2 n - 1.  at [n] ascending. */
void fv_quadrature_gauss_legendre(int64_t n, double *at, double *weight);

/* The middles of n equal parts. */
void fv_quadrature_midpoint(int64_t n, double *at, double *weight);

#endif
