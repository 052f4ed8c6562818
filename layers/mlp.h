/* mlp.h - the transformer's position-wise network (Vaswani et al. 2017, section 3.3) with GELU
 * (Hendrycks and Gimpel 2016, erf form): fc2(gelu(fc1 x)). */
#ifndef FV_LAYERS_MLP_H
#define FV_LAYERS_MLP_H

#include "layers/linear.h"

typedef struct fv_mlp {
    const char *path;
    fv_linear_layer fc1, fc2;
} fv_mlp;

fv_status fv_mlp_init(fv_mlp *m, fv_scope scope, int64_t dim, int64_t hidden);

/* The two layers under other names than fc1 and fc2. */
fv_status fv_mlp_init_named(fv_mlp *m, fv_scope scope, int64_t dim, int64_t hidden,
                            const char *first, const char *second);

/* x [...,C] -> [...,C], tapped under the layer's path. */
fv_var *fv_mlp_forward(const fv_mlp *m, fv_var *x);

#endif
