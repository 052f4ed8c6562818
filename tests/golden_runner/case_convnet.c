/* convnet.safetensors: a small convolutional network under every method. */
#include "tests/golden_runner/case_saliency_gradients.h"
#include "tests/golden_runner/convnet.h"

/* Groups without a case so far. */
static const char *const later[] = {"map",           "grid", "combine", "meta", "class_sensitivity",
                                    "normgrad_real", NULL};

static void run(golden *g) {
    convnet net;

    if (convnet_open(g, &net)) {
        convnet_check_lrp(&net);
    }
    convnet_close(&net);
    saliency_model m;
    if (saliency_model_open_convnet(g, &m)) gradients_convnet_cases(&m);
    saliency_model_close(&m);
    for (int i = 0; later[i]; i++) golden_skip_group(g, later[i]);
}

const golden_kind golden_kind_convnet = {.prefix = "convnet", .exact = true, .run = run};
