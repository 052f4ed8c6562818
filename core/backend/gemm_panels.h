/* gemm_panels.h - f32 products whose rows stay apart, by our own kernel.
 *
 * oneDNN's gemm:jit, which is what it has for CPUs without AVX-512, adds up a row in an order that depends on
 * how many rows there are and where among them it stands, so that an image would know its neighbours in
 * the batch.  Here every element of C is one chain of multiply-adds over k in order, which depends on
 * nothing else. */
#ifndef FV_CORE_GEMM_PANELS_H
#define FV_CORE_GEMM_PANELS_H

#include "core/backend/backend.h"

/* desc is normalised, f32 and not trans_a.  In the calling thread; the only scratch is on its stack. */
void fv_gemm_panels_run(const fv_gemm *desc, const float *a, const float *b, const float *bias,
                        float *c);

#endif
