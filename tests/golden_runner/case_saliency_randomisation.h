/* case_saliency_randomisation.h - mprt.* of metrics.safetensors: the network of convnet.safetensors, which
 * stands beside it, loses its trained stages from the head down. */
#ifndef FV_TESTS_CASE_SALIENCY_RANDOMISATION_H
#define FV_TESTS_CASE_SALIENCY_RANDOMISATION_H

#include "tests/golden_runner/golden.h"

void randomisation_cases(golden *g);

#endif
