/* depthwise.h - weight gradients of depthwise convolutions. */
#ifndef FV_CORE_DEPTHWISE_H
#define FV_CORE_DEPTHWISE_H

#include "core/backend/backend.h"

/* A weights pass with one input and one output channel per group, of moderate kernel and stride. */
bool fv_depthwise_weights_supports(const fv_conv *c);

/* dw [C,1,kh,kw] from x and dy.  In the calling thread, without scratch; bits depend on the
 * arguments only. */
void fv_depthwise_weights(const fv_conv *c, const void *x, const void *dy, float *dw);

#endif
