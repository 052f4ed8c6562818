/* convnet, vit and family_<model>: every group of cases that looks at one network. */
#include "tests/golden_runner/case_saliency_gradients.h"

#include <string.h>

/* Marks what no case used of the tensors called name or name.*, and says so in one line. */
static void skip_rest(golden *g, const char *name) {
    const size_t n = strlen(name);
    bool any = false;

    for (int64_t i = 0; i < fv_safetensors_count(g->file); i++) {
        const char *t = fv_safetensors_at(g->file, i)->name;
        if (g->used[i] || strncmp(t, name, n) != 0 || (t[n] && t[n] != '.')) continue;
        g->used[i] = any = true;
    }
    if (any) golden_skip(g, name);
}

static void skip_all(golden *g, const char *const groups[]) {
    for (int i = 0; groups[i]; i++) skip_rest(g, groups[i]);
}

static void run_convnet(golden *g) {
    static const char *const others[] = {"lrp",        "lrp_contrast",      "box",     "map",
                                         "grid",       "normgrad_real",     "combine", "meta",
                                         "target_min", "class_sensitivity", NULL};
    saliency_model m;

    if (saliency_model_open_convnet(g, &m)) gradients_convnet_cases(&m);
    saliency_model_close(&m);
    skip_all(g, others);
}

static void run_vit(golden *g) {
    static const char *const others[] = {"act",
                                         "grad",
                                         "lrp",
                                         "map",
                                         "rollout",
                                         "chefer_generic",
                                         "chefer_lrp",
                                         "attn_gradcam",
                                         "combine",
                                         "normgrad_real",
                                         "meta",
                                         "head",
                                         "profile",
                                         "target_min",
                                         "class_sensitivity",
                                         NULL};
    saliency_model m;

    if (saliency_model_open_vit(g, &m)) gradients_vit_cases(&m);
    saliency_model_close(&m);
    skip_all(g, others);
}

static void run_family(golden *g) {
    static const char *const others[] = {
        "logits",   "attnlrp", "cplrp", "attnlrp_gamma", "epsilon_plus_flat",
        "normgrad", "rollout", NULL};
    saliency_model m;

    if (saliency_model_open_family(g, &m)) gradients_family_cases(&m);
    saliency_model_close(&m);
    skip_all(g, others);
}

const golden_kind golden_kind_convnet = {.prefix = "convnet", .exact = true, .run = run_convnet};
const golden_kind golden_kind_vit = {.prefix = "vit", .exact = true, .run = run_vit};
const golden_kind golden_kind_family = {.prefix = "family_", .run = run_family};
