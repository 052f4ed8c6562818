/* case_class_sensitivity.h - class_sensitivity.*: how alike a method's maps for the most (target) and the
 * least probable class (target_min) of each image are. */
#ifndef FV_TESTS_CASE_CLASS_SENSITIVITY_H
#define FV_TESTS_CASE_CLASS_SENSITIVITY_H

#include "tests/golden_runner/saliency_model.h"

void class_sensitivity_convnet_cases(const saliency_model *m);
void class_sensitivity_vit_cases(const saliency_model *m);

#endif
