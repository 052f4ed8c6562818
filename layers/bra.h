/* bra.h - bi-level routing attention (Zhu et al. 2023, "BiFormer", section 3.2, in the form of the
 * authors' code): the map is cut into S x S regions, each region is routed to the k regions whose mean key
 * suits its mean query best, and its pixels attend to the pixels of those:
 *
 *     y = wo(softmax_j(C^-1/2 q_i.k_j) v_j + lepe(v)),  j over the pixels of the k chosen regions
 * per head, where lepe is a depthwise convolution of the whole v map.  As in the released networks, the
 * scale has the whole width C, and the choice is shared by all heads and takes no gradient.
 *
 * With auto_pad, a map that does not divide into regions is continued by zeros at the bottom and right
 * before the projection: padded pixels are keys and values like others (their q, k, v are the bias). */
#ifndef FV_LAYERS_BRA_H
#define FV_LAYERS_BRA_H

#include "layers/conv.h"
#include "layers/linear.h"

typedef struct fv_bra_config {
    int64_t dim;     /* C */
    int64_t heads;   /* divides dim */
    int64_t regions; /* S, regions per side */
    int64_t topk;    /* k, 1 .. S^2 */
    int64_t lepe;    /* kernel of the convolution, odd, px; 0: none */
    bool no_bias;    /* of qkv */
    bool auto_pad;
} fv_bra_config;

typedef struct fv_bra {
    const char *path;
    const char *routing; /* tap of the choice */
    int64_t dim, heads, regions, topk;
    bool auto_pad, has_lepe;
    float scale;
    fv_conv_layer lepe;      /* [C,1,k,k] */
    fv_linear_layer qkv, wo; /* "qkv.qkv" [3C,C], [C,C] */
} fv_bra;

/* FV_ERR_CONFIG: heads that do not divide dim, more chosen regions than there are, an even kernel. */
fv_status fv_bra_init(fv_bra *m, fv_scope scope, const fv_bra_config *cfg);

/* x [B,H,W,C] -> [B,H,W,C], tapped under the path; the choice [B,S^2,k] as "<path>.routing".  H, W
 * multiples of S unless padded (FV_ERR_SHAPE). */
fv_var *fv_bra_forward(const fv_bra *m, fv_var *x);

#endif
