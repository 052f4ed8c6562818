/* vit.safetensors and vit_gap.safetensors: tiny vision transformers under every method. */
#include "tests/golden_runner/case_class_sensitivity.h"
#include "tests/golden_runner/case_saliency_attention.h"
#include "tests/golden_runner/case_saliency_gradients.h"
#include "tests/golden_runner/case_saliency_normgrad.h"
#include "tests/golden_runner/vit_net.h"

static attention_case attention_of(const vit_net *net) {
    return (attention_case){.g = net->g,
                            .model = net->model,
                            .tape = net->tape,
                            .pixels = net->images.data,
                            .N = net->images.shape.dim[0],
                            .target = net->target};
}

static void run(golden *g) {
    vit_net net;
    saliency_model m;

    if (vit_net_open(g, false, &net)) {
        attention_case attention = attention_of(&net);
        vit_check_lrp(&net);
        attention_vit_cases(&attention);
    }
    vit_net_close(&net);
    if (saliency_model_open_vit(g, &m)) {
        gradients_vit_cases(&m);
        normgrad_vit_cases(&m);
        class_sensitivity_vit_cases(&m);
    }
    saliency_model_close(&m);
}

static void run_gap(golden *g) {
    vit_net net;

    if (vit_net_open(g, true, &net)) {
        attention_case attention = attention_of(&net);
        vit_gap_check_lrp(&net);
        vit_gap_check_maps(&net);
        attention_vit_gap_cases(&attention);
    }
    vit_net_close(&net);
}

const golden_kind golden_kind_vit = {.prefix = "vit", .exact = true, .run = run};
const golden_kind golden_kind_vit_gap = {.prefix = "vit_gap", .exact = true, .run = run_gap};
