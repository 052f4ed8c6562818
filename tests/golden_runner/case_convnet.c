/* convnet.safetensors: a small convolutional network under every method. */
#include "tests/golden_runner/convnet.h"

/* Groups without a case so far. */
static const char *const later[] = {"map",
                                    "grid",
                                    "combine",
                                    "meta",
                                    "ig",
                                    "smoothgrad",
                                    "rise",
                                    "occlusion",
                                    "vargrad",
                                    "gradxinput",
                                    "smoothgrad_sq",
                                    "class_sensitivity",
                                    "saliency_maxabs",
                                    "normgrad_real",
                                    NULL};

static void run(golden *g) {
    convnet net;

    if (convnet_open(g, &net)) {
        convnet_check_lrp(&net);
    }
    convnet_close(&net);
    for (int i = 0; later[i]; i++) golden_skip_group(g, later[i]);
}

const golden_kind golden_kind_convnet = {.prefix = "convnet", .exact = true, .run = run};
