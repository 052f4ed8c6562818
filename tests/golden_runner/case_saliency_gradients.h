/* case_saliency_gradients.h - groups of cases of the saliency files: methods that ask for gradients, and
 * those that ask for scores of changed images. */
#ifndef FV_TESTS_CASE_SALIENCY_GRADIENTS_H
#define FV_TESTS_CASE_SALIENCY_GRADIENTS_H

#include "tests/golden_runner/saliency_model.h"

/* gradxinput, saliency_maxabs, map.{gradcam,layercam,linear_approx,gradient_maxabs}.*, ig.*,
 * smoothgrad.*, smoothgrad_sq.*, vargrad.*, rise.* and occlusion.* */
void gradients_convnet_cases(const saliency_model *m);

/* gradxinput, map.{gradcam,linear_approx,gradient_maxabs}.* and ig.* */
void gradients_vit_cases(const saliency_model *m);

/* gradxinput and gradcam.<node>, which is the default layer */
void gradients_family_cases(const saliency_model *m);

#endif
