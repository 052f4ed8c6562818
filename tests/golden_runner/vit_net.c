#include "tests/golden_runner/vit_net.h"

#include "core/ops.h"
#include "core/yaml.h"
#include "tests/golden_runner/saliency_case.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char token_args[] = "{img_size: 16, patch_size: 4, embed_dim: 16, depth: 2, "
                                 "num_heads: 2, mlp_ratio: 2}";
static const char mean_args[] = "{img_size: 16, patch_size: 4, embed_dim: 16, depth: 2, "
                                "num_heads: 2, mlp_ratio: 2, class_token: false, "
                                "global_pool: avg}";

static fv_status create(vit_net *net, bool mean) {
    const char *text = mean ? mean_args : token_args;
    fv_model_config config = {.name = "mini_vit", .num_classes = VIT_NET_CLASSES};
    fv_value *kwargs;

    FV_TRY(fv_yaml_parse(text, strlen(text), "vit", &net->g->arena, &kwargs));
    config.kwargs = kwargs;
    FV_TRY(fv_model_create(&config, true, &net->model));
    return fv_tape_create(&net->tape);
}

/* The norm behind a mean is called fc_norm by timm, norm in the file. */
static bool load(vit_net *net) {
    for (int64_t i = 0; i < net->model->params.count; i++) {
        const fv_param *p = net->model->params.item[i];
        const char *own = strncmp(p->name, "fc_norm.", 8) == 0 ? p->name + 3 : p->name;
        const char *name = golden_text(net->g, "param.%s", own);
        fv_shape shape;
        const float *stored = golden_f32(net->g, name, &shape);
        if (!stored) return false;
        if (fv_shape_numel(&shape) != p->numel) {
            golden_fail(net->g, name, "another shape than the network's");
            return false;
        }
        memcpy(p->value, stored, (size_t)p->numel * sizeof *stored);
    }
    return true;
}

bool vit_net_open(golden *g, bool mean, vit_net *net) {
    fv_shape s;

    *net = (vit_net){.g = g, .mean = mean};
    if (create(net, mean) != FV_OK) {
        golden_fail(g, "network", "%s", fv_error_message());
        return false;
    }
    const float *x = golden_f32(g, "x", &s);
    if (!load(net) || !x) return false;
    net->images = (fv_tensor){(void *)(uintptr_t)golden_packed(g, &s, x), FV_F32,
                              fv_shape_of(4, s.dim[0], s.dim[2], s.dim[3], s.dim[1])};
    net->target = saliency_targets(g, "target", s.dim[0]);
    return net->images.data && net->target;
}

void vit_net_close(vit_net *net) {
    fv_tape_destroy(net->tape);
    fv_model_destroy(net->model);
}

/* The file takes the mean of the normed tokens; the model, as timm, norms their mean. */
static fv_var *classify_mean(const vit_net *net) {
    static const char *const names[] = {"fc_norm.weight", "fc_norm.bias", "head.weight",
                                        "head.bias"};
    fv_tape *tape = net->tape;
    fv_var *of[4];

    for (int i = 0; i < 4; i++)
        of[i] = fv_param_var(tape, fv_params_find(&net->model->params, names[i]));
    fv_var *x = fv_layernorm(fv_tape_find(tape, "blocks.1"), of[0], of[1], 1e-6f, FV_F32);
    return fv_linear(fv_mean_tokens(x, 0, FV_F32), of[2], of[3]);
}

fv_var *vit_net_record(vit_net *net, fv_var **x) {
    const fv_step step = saliency_step(net->images.shape.dim[0]);

    fv_tape_begin(net->tape, &step);
    *x = fv_tap(fv_input(net->tape, &net->images, true), "input");
    fv_var *logits = fv_keep(fv_model_forward(net->model, *x));
    if (net->mean && fv_tape_find(net->tape, "blocks.1")) logits = fv_keep(classify_mean(net));
    if (fv_tape_status(net->tape) == FV_OK) return logits;
    golden_fail(net->g, "forward", "%s", fv_error_message());
    return NULL;
}

const char *vit_net_tap(golden *g, const char *node) {
    static const char *const whole[][2] = {
        {"patch_embed", "patch_embed.proj"}, {"tokens.0", "tokens"}, {"pooled", "pre_logits"}};
    static const char *const parts[][2] = {
        {"q", "attn.queries"}, {"k", "attn.keys"},  {"v", "attn.values"}, {"S", "attn.logits"},
        {"A", "attn.weights"}, {"O", "attn.mixed"}, {"fc1", "mlp.fc1"}};
    for (size_t i = 0; i < sizeof whole / sizeof *whole; i++)
        if (strcmp(node, whole[i][0]) == 0) return whole[i][1];
    if (strncmp(node, "tokens.", 7) == 0)
        return golden_text(g, "blocks.%d", (int)strtol(node + 7, NULL, 10) - 1);
    const char *last = strrchr(node, '.');
    for (size_t i = 0; last && i < sizeof parts / sizeof *parts; i++)
        if (strcmp(last + 1, parts[i][0]) == 0)
            return golden_text(g, "%.*s.%s", (int)(last - node), node, parts[i][1]);
    return node;
}
