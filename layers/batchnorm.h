/* batchnorm.h - batch norm over the channel axis (Ioffe and Szegedy 2015): weight 1 and bias 0 at first,
 * eps 1e-5; running mean and variance (0 and 1 at first) follow with momentum 0.1.
 *
 * Statistics are those of a pass, so splitting a batch into passes changes results, as in PyTorch. */
#ifndef FV_LAYERS_BATCHNORM_H
#define FV_LAYERS_BATCHNORM_H

#include "core/ops.h"
#include "layers/scope.h"

typedef struct fv_batchnorm_layer {
    const char *path;
    fv_param *weight, *bias;  /* [C] */
    fv_batchnorm_stats stats; /* buffers running_mean, running_var, num_batches_tracked */
} fv_batchnorm_layer;

fv_status fv_batchnorm_layer_init(fv_batchnorm_layer *m, fv_scope scope, int64_t dim);

/* x [...,C] -> [...,C] in x's dtype; _to writes `out`.  Tapped under the layer's path. */
fv_var *fv_batchnorm_layer_forward(const fv_batchnorm_layer *m, fv_var *x);
fv_var *fv_batchnorm_layer_forward_to(const fv_batchnorm_layer *m, fv_var *x, fv_dtype out);
/* act(the same), for products to read; with ReLU in one pass, so that outside of FV_EXPLAIN the value before it
 * has no name. */
fv_var *fv_batchnorm_layer_activate(const fv_batchnorm_layer *m, fv_var *x, fv_activation_kind act);

#endif
