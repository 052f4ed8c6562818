/* case_saliency_normgrad.h - the NormGrad tensors of the saliency files: `model` has the file's
 * parameters and keeps gradients, `pixels` are its images [N,H,W,3]. */
#ifndef FV_TESTS_CASE_SALIENCY_NORMGRAD_H
#define FV_TESTS_CASE_SALIENCY_NORMGRAD_H

#include "models/model.h"
#include "tests/golden_runner/golden.h"

typedef struct normgrad_case {
    golden *g;
    const fv_model *model;
    fv_tape *tape;
    const float *pixels;
    int64_t N;             /* at most 8 */
    const int64_t *target; /* [N] */
} normgrad_case;

/* map.{bias,scaling,conv1x1,conv3x3,selective}.*, normgrad_real.*, grid.*, combine.* and meta.* */
void normgrad_convnet_cases(normgrad_case *c);
/* map.{bias,scaling,conv1x1,selective}.*, normgrad_real.*, combine.* and meta.* */
void normgrad_vit_cases(normgrad_case *c);
/* normgrad.* */
void normgrad_family_cases(normgrad_case *c);

#endif
