/* conv.h - 2-D convolution of maps as a layer: weight [O,I/groups,k,k], bias [O] or none.
 *
 * Initial values, unless the configuration says otherwise, are PyTorch's: weight and bias uniform in
 * +-1/sqrt(fan in), fan in = k^2 I/groups. */
#ifndef FV_LAYERS_CONV_H
#define FV_LAYERS_CONV_H

#include "core/ops.h"
#include "layers/scope.h"

/* Zero is the default, but for in, out and kernel. */
typedef struct fv_conv_config {
    int64_t in, out; /* channels */
    int64_t kernel;  /* k, px */
    int64_t stride;  /* px; 0 stands for 1 */
    int64_t padding; /* px on each side; -1: k/2, which keeps the size at stride 1 and odd k */
    int64_t groups;  /* 0 stands for 1; in = out = groups: depthwise */
    bool bias;
    bool f32;     /* write f32 whatever the input is */
    fv_init init; /* of the weight; {0}: PyTorch's.  With another one the bias starts at 0 */
} fv_conv_config;

typedef struct fv_conv_layer {
    const char *path;
    fv_param *weight; /* [O,I/groups,k,k] */
    fv_param *bias;   /* [O]; NULL without one */
    fv_conv2d_args args;
} fv_conv_layer;

/* FV_ERR_CONFIG: channels that the groups do not divide. */
fv_status fv_conv_layer_init(fv_conv_layer *m, fv_scope scope, const fv_conv_config *cfg);

/* x [B,H,W,I] -> [B,Ho,Wo,O] in x's dtype (f32 if so configured), Ho = (H + 2 padding - k) / stride + 1
 * rounded down.  Tapped under the layer's path. */
fv_var *fv_conv_layer_forward(const fv_conv_layer *m, fv_var *x);

#endif
