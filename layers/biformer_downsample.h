/* biformer_downsample.h - what stands in front of each stage of BiFormer (Zhu et al. 2023, section 3.3;
 * the authors' code): overlapping convolutions with batch norm, or, in the STL variant with Swin's layout
 * (Liu et al. 2021), patches and merged patches.
 *
 *     FV_BIFORMER_STEM     conv 3x3 s2, norm, GELU, conv 3x3 s2, norm     [B,H,W,I] -> [B,H/4,W/4,O]
 *     FV_BIFORMER_DOWN     conv 3x3 s2, norm                                        -> [B,H/2,W/2,O]
 *     FV_BIFORMER_PATCHES  conv 4x4 s4, norm                                        -> [B,H/4,W/4,O]
 *     FV_BIFORMER_MERGE    norm, conv 2x2 s2                                        -> [B,H/2,W/2,O]
 * Layers are called by their position: "0", "1", "3", "4".  Halves are rounded up by the first two, down
 * by the others. */
#ifndef FV_LAYERS_BIFORMER_DOWNSAMPLE_H
#define FV_LAYERS_BIFORMER_DOWNSAMPLE_H

#include "layers/batchnorm.h"
#include "layers/conv.h"

typedef enum fv_biformer_downsample_kind {
    FV_BIFORMER_STEM,
    FV_BIFORMER_DOWN,
    FV_BIFORMER_PATCHES,
    FV_BIFORMER_MERGE
} fv_biformer_downsample_kind;

typedef struct fv_biformer_downsample {
    const char *path;
    fv_biformer_downsample_kind kind;
    fv_conv_layer conv[2]; /* [1]: the stem's second */
    fv_batchnorm_layer norm[2];
} fv_biformer_downsample;

/* in, out: channels; out is even for a stem (FV_ERR_CONFIG). */
fv_status fv_biformer_downsample_init(fv_biformer_downsample *m, fv_scope scope,
                                      fv_biformer_downsample_kind kind, int64_t in, int64_t out);

/* Pixels a side that are left of `size`. */
int64_t fv_biformer_downsample_size(fv_biformer_downsample_kind kind, int64_t size);

/* x as above, f32 -> f32 (it starts the residual stream), tapped under the path. */
fv_var *fv_biformer_downsample_forward(const fv_biformer_downsample *m, fv_var *x);

#endif
