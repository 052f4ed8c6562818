/* stem.h - the first layers of a convolutional network: an image becomes a map of a half or a quarter of
 * its size.
 *
 *     7x7     one convolution of stride 2 (He et al. 2016)
 *     3x3     the same with a small kernel
 *     tiered  three 3x3 convolutions of 3C/8, C/2 and C channels, the first of stride 2 (after the
 *             input stem of He et al. 2019, "Bag of tricks")
 * each followed by batch norm and activation; then a 3x3 max pool of stride 2, or none. */
#ifndef FV_LAYERS_STEM_H
#define FV_LAYERS_STEM_H

#include "layers/conv_bn.h"

#define FV_STEM_UNITS 3

typedef enum fv_stem_kind { FV_STEM_7X7, FV_STEM_3X3, FV_STEM_TIERED } fv_stem_kind;

typedef struct fv_stem_config {
    fv_stem_kind kind;
    int64_t dim; /* C; tiered: a multiple of 8 */
    bool pool;   /* tiered without it: the third convolution has stride 2 */
    fv_activation_kind act;
    fv_conv_names names;
} fv_stem_config;

typedef struct fv_stem {
    const char *path;
    fv_conv_bn unit[FV_STEM_UNITS];
    int n_units;
    bool pool;
    int64_t stride; /* 2 or 4 */
} fv_stem;

/* FV_ERR_CONFIG: a width that the kind cannot have.  path: where the result is tapped. */
fv_status fv_stem_init(fv_stem *m, fv_scope scope, const char *path, const fv_stem_config *cfg);

/* The first convolution's path, which reads pixels. */
const char *fv_stem_first_conv(const fv_stem *m);

/* x [B,H,W,3] -> [B,ceil(H/s),ceil(W/s),C] in the dtype of matrix products. */
fv_var *fv_stem_forward(const fv_stem *m, fv_var *x);

#endif
