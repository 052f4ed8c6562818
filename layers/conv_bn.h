/* conv_bn.h - convolution without bias, batch norm, activation: the unit that residual networks are made
 * of (He et al. 2016, "Deep residual learning"; Ioffe and Szegedy 2015).
 *
 * The convolution's weight starts from a normal distribution of variance 2 / fan out, fan out =
 * k^2 O / groups (He et al. 2015).  In FV_EXPLAIN batch norm is the affine map of its running
 * statistics. */
#ifndef FV_LAYERS_CONV_BN_H
#define FV_LAYERS_CONV_BN_H

#include "layers/batchnorm.h"
#include "layers/conv.h"

/* How timm calls the parts of its convolutional networks. */
typedef enum fv_conv_names {
    FV_NAMES_BYOB,  /* "stages.0.0.conv1_1x1.conv", ".bn": HaloNet */
    FV_NAMES_RESNET /* "layer1.0.conv1", "layer1.0.bn1" */
} fv_conv_names;

/* Names below the scope; out: of the tap of the result, "" for the scope itself. */
typedef struct fv_conv_bn_names {
    const char *conv, *bn, *out;
} fv_conv_bn_names;

typedef struct fv_conv_bn_config {
    int64_t in, out; /* channels */
    int64_t kernel;  /* k, px; padded by k/2 on each side */
    int64_t stride;  /* px; 0 stands for 1 */
    int64_t groups;  /* 0 stands for 1 */
    fv_activation_kind act;
    bool linear; /* no activation */
    bool closed; /* batch norm's weight starts at 0: so does the branch that ends here */
} fv_conv_bn_config;

typedef struct fv_conv_bn {
    const char *path;
    fv_conv_layer conv;
    fv_batchnorm_layer bn;
    fv_activation_kind act;
    bool linear;
} fv_conv_bn;

/* FV_ERR_CONFIG: channels that the groups do not divide. */
fv_status fv_conv_bn_init(fv_conv_bn *m, fv_scope scope, const fv_conv_bn_names *names,
                          const fv_conv_bn_config *cfg);

/* x [B,H,W,I] -> [B,ceil(H/s),ceil(W/s),O] for odd k, s = 1 or 2.  The activation writes the dtype of
 * matrix products; without one the result has x's dtype.  Tapped under the path. */
fv_var *fv_conv_bn_forward(const fv_conv_bn *m, fv_var *x);

#endif
