/* linear.h - y = x W^T + b as a layer: weight [O,I], bias [O] or none.
 *
 * Initial values as in ViT (Dosovitskiy et al. 2021, in timm's form): weight truncated normal with
 * standard deviation 0.02, bias 0. */
#ifndef FV_LAYERS_LINEAR_H
#define FV_LAYERS_LINEAR_H

#include "core/ops.h"
#include "layers/scope.h"

typedef struct fv_linear_layer {
    const char *path;
    fv_param *weight; /* [O,I] */
    fv_param *bias;   /* [O]; NULL without one */
} fv_linear_layer;

fv_status fv_linear_layer_init(fv_linear_layer *m, fv_scope scope, int64_t in, int64_t out,
                               bool bias);

/* x [...,I] -> [...,O] in x's dtype; _f32 always writes f32.  Tapped under the layer's path. */
fv_var *fv_linear_layer_forward(const fv_linear_layer *m, fv_var *x);
fv_var *fv_linear_layer_forward_f32(const fv_linear_layer *m, fv_var *x);

/* GELU of the same, one fused op in FV_TRAIN and FV_INFER; not tapped. */
fv_var *fv_linear_layer_forward_gelu(const fv_linear_layer *m, fv_var *x);

#endif
