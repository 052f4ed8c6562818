/* squeeze_excite.h - squeeze-and-excitation (Hu, Shen and Sun 2018, eqs. 2 to 4): channels are weighted by a
 * gate that sees the whole map,
 *     y = x sigma(fc2(relu(fc1(mean x)))).
 * fc1 and fc2 are 1x1 convolutions with bias, as in timm's SEModule. */
#ifndef FV_LAYERS_SQUEEZE_EXCITE_H
#define FV_LAYERS_SQUEEZE_EXCITE_H

#include "layers/conv.h"

typedef struct fv_squeeze_excite {
    const char *path;
    fv_conv_layer fc1, fc2; /* C to the hidden width, and back */
} fv_squeeze_excite;

/* hidden 0: C/16 rounded to the nearest multiple of 8, at least 8. */
fv_status fv_squeeze_excite_init(fv_squeeze_excite *m, fv_scope scope, int64_t dim, int64_t hidden);

/* x [B,H,W,C] -> [B,H,W,C] in x's dtype, tapped under the layer's path.  The gate is computed in f32. */
fv_var *fv_squeeze_excite_forward(const fv_squeeze_excite *m, fv_var *x);

#endif
