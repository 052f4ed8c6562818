/* patch_embed.h - an image as a sequence of patch embeddings (Dosovitskiy et al. 2021, eq. 1): a
 * convolution with kernel = stride = P, computed as one matrix product over unfolded patches.
 *
 * Initial values are those of PyTorch's convolution: weight and bias uniform in +-1/sqrt(3 P^2). */
#ifndef FV_LAYERS_PATCH_EMBED_H
#define FV_LAYERS_PATCH_EMBED_H

#include "core/ops.h"
#include "layers/scope.h"

typedef struct fv_patch_embed {
    const char *path;        /* of the projection */
    fv_param *weight, *bias; /* proj: [D,3,P,P], [D] */
    int64_t patch;           /* P, px */
} fv_patch_embed;

fv_status fv_patch_embed_init(fv_patch_embed *m, fv_scope scope, int64_t dim, int64_t patch);

/* x [B,H,W,3] -> [B,(H/P)(W/P),D], patches row-major, f32 (it starts the residual stream). */
fv_var *fv_patch_embed_forward(const fv_patch_embed *m, fv_var *x);

#endif
