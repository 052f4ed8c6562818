/* convnet.safetensors: a small convolutional network under every method. */
#include "tests/golden_runner/case_class_sensitivity.h"
#include "tests/golden_runner/case_saliency_gradients.h"
#include "tests/golden_runner/case_saliency_normgrad.h"
#include "tests/golden_runner/convnet_model.h"

static void run(golden *g) {
    saliency_model m;

    if (saliency_model_open_convnet(g, &m)) {
        convnet_check_lrp(&m);
        gradients_convnet_cases(&m);
        normgrad_convnet_cases(&m);
        class_sensitivity_convnet_cases(&m);
    }
    saliency_model_close(&m);
}

const golden_kind golden_kind_convnet = {.prefix = "convnet", .exact = true, .run = run};
