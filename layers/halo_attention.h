/* halo_attention.h - blocked local self-attention with halos (Vaswani et al. 2021, HaloNet) on maps, in the
 * form of timm's released weights.
 *
 * The map is cut into blocks of b x b pixels; the queries of a block attend to its window of
 * w = b + 2 halo pixels a side, with learned positions relative to the query (Shaw et al. 2018).  What
 * lies outside of the map is zero and not masked: it takes part in the softmax with key and value 0.
 * With stride 2 and an even block the query convolution is strided, so that a block has (b/2)^2
 * queries; with an odd block attention runs at stride 1 and a 2x2 average pool follows.
 *
 * Initial values: q and kv truncated normal with standard deviation C^-0.5, tables dk^-0.5. */
#ifndef FV_LAYERS_HALO_ATTENTION_H
#define FV_LAYERS_HALO_ATTENTION_H

#include "layers/conv.h"

typedef struct fv_halo_config {
    int64_t dim;         /* channels of x */
    int64_t dim_out;     /* of the result: heads times the width of a value; 0: dim */
    int64_t heads;       /* divides dim_out */
    int64_t dim_head;    /* width of queries and keys; 0: that of values, dim_out / heads */
    int64_t block, halo; /* pixels */
    int64_t stride;      /* 1 or 2; 0 stands for 1 */
    bool bias;           /* of q and kv; the papers' networks have none */
} fv_halo_config;

typedef struct fv_halo_attention {
    const char *path;
    fv_halo_config cfg;               /* with the defaults filled in */
    fv_conv_layer q, kv;              /* 1x1: to h dk; to dk keys, then dv values of each head */
    fv_param *height_rel, *width_rel; /* pos_embed.*: [2w-1,dk], shared by heads and blocks */
    int64_t pool_stride;              /* times that of q is cfg.stride */
} fv_halo_attention;

/* FV_ERR_CONFIG: a size that is not positive, a width that heads do not divide, a stride above 2. */
fv_status fv_halo_attention_init(fv_halo_attention *m, fv_scope scope, const fv_halo_config *cfg);

/* x [B,H,W,C] -> [B,H/s,W/s,dim_out] in x's dtype, tapped under the layer's path; in FV_EXPLAIN the
 * parts of the attention are tapped (fv_attention_parts).  H and W that are not multiples of the block
 * are FV_ERR_SHAPE. */
fv_var *fv_halo_attention_forward(const fv_halo_attention *m, fv_var *x);

#endif
