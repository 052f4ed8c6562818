/* small_product.h - products of a few rows, of the queries and keys of a region for example, by the kernels and
 * not by the backend, whose calls cost more than they do.  In the calling thread, without allocation.
 *
 * Operands are f32, or bf16 where the CPU has dot products of its pairs; sums and results are f32, each element
 * one chain over k in order.  Matrices have no gaps between their rows.  A right factor of bf16, and a left one
 * that is transposed, lie in pairs of rows (kernels.h); in f32 they lie as they are. */
#ifndef FV_CORE_SMALL_PRODUCT_H
#define FV_CORE_SMALL_PRODUCT_H

#include "core/op.h"

/* What to multiply values of type x in. */
fv_dtype fv_small_type(fv_dtype x);

/* Elements of a factor [k,n] in pairs of rows. */
int64_t fv_small_size(int64_t k, int64_t n);

/* x [k,n] as such a factor: in f32 x itself, else in `to`, which has fv_small_size(k, n) elements. */
const void *fv_small_rows(fv_dtype type, int64_t k, int64_t n, const void *x, void *to);

/* The same of the transpose of x [n,k], always in `to`. */
void fv_small_columns(fv_dtype type, int64_t k, int64_t n, const void *x, void *to);

/* c [m,n] = a b, a [m,k] as it is, b [k,n] a factor in pairs of rows */
void fv_small_product(fv_dtype type, int64_t m, int64_t n, int64_t k, const void *a, const void *b,
                      float *c);

/* c [m,n] += a^T b, a the m columns from `first` on of [k,width], b [k,n]; both factors in pairs of rows */
void fv_small_sum(fv_dtype type, int64_t m, int64_t n, int64_t k, const void *a, int64_t width,
                  int64_t first, const void *b, float *c);

#endif
