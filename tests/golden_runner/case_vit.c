/* vit.safetensors and vit_gap.safetensors: tiny vision transformers under every method. */
#include "tests/golden_runner/case_saliency_gradients.h"
#include "tests/golden_runner/vit_net.h"

/* Groups without a case so far. */
static const char *const later[] = {
    "map",        "combine",      "meta", "normgrad_real", "rollout",           "chefer_generic",
    "chefer_lrp", "attn_gradcam", "head", "profile",       "class_sensitivity", "target_min",
    NULL};

static void run(golden *g) {
    vit_net net;

    if (vit_net_open(g, false, &net)) {
        vit_check_lrp(&net);
    }
    vit_net_close(&net);
    saliency_model m;
    if (saliency_model_open_vit(g, &m)) gradients_vit_cases(&m);
    saliency_model_close(&m);
    for (int i = 0; later[i]; i++) golden_skip_group(g, later[i]);
}

static void run_gap(golden *g) {
    vit_net net;

    if (vit_net_open(g, true, &net)) {
        vit_gap_check_lrp(&net);
    }
    vit_net_close(&net);
    for (int i = 0; later[i]; i++) golden_skip_group(g, later[i]);
}

const golden_kind golden_kind_vit = {.prefix = "vit", .exact = true, .run = run};
const golden_kind golden_kind_vit_gap = {.prefix = "vit_gap", .exact = true, .run = run_gap};
