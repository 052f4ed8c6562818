/* bottleneck.h - the residual block of three convolutions (He et al. 2016, figure 5), with the 3x3
 * convolution or, as in HaloNet (Vaswani et al. 2021, section 2.4; Srinivas et al. 2021), halo attention
 * in the middle:
 *
 *     y = act(shortcut(x) + expand(middle(reduce(x))))
 * reduce and expand are 1x1 convolutions, every convolution is followed by batch norm, all but the last
 * by the activation.  The stride is the middle's.  shortcut is x itself, or where stride or width
 * differ a 1x1 convolution with batch norm.  A gate on channels may follow the 3x3 convolution. */
#ifndef FV_LAYERS_BOTTLENECK_H
#define FV_LAYERS_BOTTLENECK_H

#include "layers/conv_bn.h"
#include "layers/eca.h"
#include "layers/halo_attention.h"
#include "layers/squeeze_excite.h"

typedef enum fv_gate_kind { FV_GATE_NONE, FV_GATE_SE, FV_GATE_ECA } fv_gate_kind;

typedef struct fv_bottleneck_config {
    int64_t in, mid, out; /* channels */
    int64_t stride;       /* px; 0 stands for 1 */
    int64_t groups;       /* of the 3x3 convolution; 0 stands for 1 */
    fv_gate_kind gate;    /* behind the 3x3 convolution */
    fv_halo_config halo;  /* block > 0: attention; heads, dim_head, block and halo count */
    fv_activation_kind act;
    bool avg_shortcut; /* 2x2 mean in front of a 1x1 convolution without stride (He et al. 2019) */
    float drop_path;   /* stochastic depth of the branch */
    fv_conv_names names;
} fv_bottleneck_config;

typedef struct fv_bottleneck {
    const char *path;
    fv_conv_bn reduce, conv, expand, shortcut;
    fv_gate_kind gate;
    fv_squeeze_excite se;
    fv_eca eca;
    fv_halo_attention attn;
    fv_batchnorm_layer post_attn; /* between attention and its activation */
    bool attends, projects;       /* attention in place of conv; a shortcut with parameters */
    int64_t shortcut_pool;        /* 2: the mean in front of it */
    fv_activation_kind act;
    float drop_path;
} fv_bottleneck;

/* FV_ERR_CONFIG: what halo attention and groups refuse. */
fv_status fv_bottleneck_init(fv_bottleneck *m, fv_scope scope, const fv_bottleneck_config *cfg);

/* x [B,H,W,I] -> [B,ceil(H/s),ceil(W/s),O] in the dtype of matrix products, tapped under the path.
 * FV_ERR_SHAPE: a map that attention cannot cut into blocks, an odd one before a mean of stride 2. */
fv_var *fv_bottleneck_forward(const fv_bottleneck *m, fv_var *x);

#endif
