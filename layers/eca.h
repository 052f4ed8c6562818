/* eca.h - efficient channel attention (Wang et al. 2020, eqs. 9 to 12): channels are weighted by a gate that
 * sees the means of k neighbouring channels,
 *     y = x sigma(conv1d_k(mean x)),  k = |log2 C + 1| / 2 rounded down, the next odd number, at least 3.
 * conv.weight [1,1,k], no bias, as in timm's EcaModule. */
#ifndef FV_LAYERS_ECA_H
#define FV_LAYERS_ECA_H

#include "core/ops.h"
#include "layers/scope.h"

typedef struct fv_eca {
    const char *path, *conv_path;
    fv_param *weight; /* [1,1,k] */
} fv_eca;

/* kernel 0: the rule above.  FV_ERR_CONFIG: an even kernel. */
fv_status fv_eca_init(fv_eca *m, fv_scope scope, int64_t dim, int64_t kernel);

/* x [B,H,W,C] -> [B,H,W,C] in x's dtype, tapped under the layer's path.  The gate is computed in f32. */
fv_var *fv_eca_forward(const fv_eca *m, fv_var *x);

#endif
