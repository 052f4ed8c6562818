/* case_saliency_normgrad.h - groups of cases of the saliency files: NormGrad. */
#ifndef FV_TESTS_CASE_SALIENCY_NORMGRAD_H
#define FV_TESTS_CASE_SALIENCY_NORMGRAD_H

#include "tests/golden_runner/saliency_model.h"

/* map.{bias,scaling,conv1x1,conv3x3,selective}.*, normgrad_real.*, grid.*, combine.* and meta.* */
void normgrad_convnet_cases(const saliency_model *c);

/* map.{bias,scaling,conv1x1,selective}.*, normgrad_real.*, combine.* and meta.* */
void normgrad_vit_cases(const saliency_model *c);

/* normgrad.* */
void normgrad_family_cases(const saliency_model *c);

#endif
