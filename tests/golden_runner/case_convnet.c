/* convnet.safetensors: a small convolutional network under every method. */
#include "tests/golden_runner/case_class_sensitivity.h"
#include "tests/golden_runner/case_saliency_gradients.h"
#include "tests/golden_runner/case_saliency_normgrad.h"
#include "tests/golden_runner/convnet.h"

static void run(golden *g) {
    convnet net;
    saliency_model m;

    if (convnet_open(g, &net)) convnet_check_lrp(&net);
    convnet_close(&net);
    if (saliency_model_open_convnet(g, &m)) {
        gradients_convnet_cases(&m);
        normgrad_convnet_cases(&m);
        class_sensitivity_convnet_cases(&m);
    }
    saliency_model_close(&m);
}

const golden_kind golden_kind_convnet = {.prefix = "convnet", .exact = true, .run = run};
