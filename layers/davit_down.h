/* davit_down.h - how DaViT (Ding et al. 2022) makes maps smaller: the stem, which reads pixels, and the
 * downsampling between stages.  Sizes that do not divide are continued by zeros at the bottom and right. */
#ifndef FV_LAYERS_DAVIT_DOWN_H
#define FV_LAYERS_DAVIT_DOWN_H

#include "layers/conv.h"
#include "layers/norm.h"

/* norm(conv(x)), 7x7 with stride 4: overlapping patches. */
typedef struct fv_davit_stem {
    const char *path;
    fv_conv_layer conv;
    fv_norm_layer norm;
} fv_davit_stem;

fv_status fv_davit_stem_init(fv_davit_stem *m, fv_scope scope, int64_t dim, float norm_eps);

/* x [B,H,W,3] -> [B,ceil(H/4),ceil(W/4),C], f32 (it starts the residual stream), tapped. */
fv_var *fv_davit_stem_forward(const fv_davit_stem *m, fv_var *x);

/* conv(norm(x)), 2x2 with stride 2. */
typedef struct fv_davit_downsample {
    const char *path;
    fv_norm_layer norm;
    fv_conv_layer conv;
} fv_davit_downsample;

fv_status fv_davit_downsample_init(fv_davit_downsample *m, fv_scope scope, int64_t in, int64_t out,
                                   float norm_eps);

/* x [B,H,W,I] -> [B,ceil(H/2),ceil(W/2),O], f32, tapped. */
fv_var *fv_davit_downsample_forward(const fv_davit_downsample *m, fv_var *x);

#endif
