/* conv_pos.h - conditional position encoding (Chu et al. 2021, "Conditional Positional Encodings for
 * Vision Transformers"): y = x + depthwise 3x3 convolution of x, whose zero padding tells where the
 * edges are. */
#ifndef FV_LAYERS_CONV_POS_H
#define FV_LAYERS_CONV_POS_H

#include "layers/conv.h"

typedef struct fv_conv_pos {
    const char *path;
    fv_conv_layer proj; /* [C,1,3,3] with bias */
} fv_conv_pos;

fv_status fv_conv_pos_init(fv_conv_pos *m, fv_scope scope, int64_t dim);

/* x [B,H,W,C] -> [B,H,W,C], f32, tapped under the layer's path. */
fv_var *fv_conv_pos_forward(const fv_conv_pos *m, fv_var *x);

#endif
