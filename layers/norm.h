/* norm.h - layer norm over the channel axis (Ba, Kiros and Hinton 2016): weight 1 and bias 0 at first.
 *
 * Writes the dtype of matrix products: what follows a norm is one. */
#ifndef FV_LAYERS_NORM_H
#define FV_LAYERS_NORM_H

#include "core/ops.h"
#include "layers/scope.h"

typedef struct fv_norm_layer {
    const char *path;
    fv_param *weight, *bias; /* [C] */
    float eps;
} fv_norm_layer;

fv_status fv_norm_layer_init(fv_norm_layer *m, fv_scope scope, int64_t dim, float eps);

/* x [...,C] -> [...,C], tapped under the layer's path.  _f32 always writes f32: for a residual stream. */
fv_var *fv_norm_layer_forward(const fv_norm_layer *m, fv_var *x);
fv_var *fv_norm_layer_forward_f32(const fv_norm_layer *m, fv_var *x);

#endif
