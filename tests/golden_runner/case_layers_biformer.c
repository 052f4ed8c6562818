/* The layers of BiFormer in layers.safetensors. */
#include "layers/biformer_block.h"
#include "tests/golden_runner/layer_case.h"

/* That of the case that runs. */
static union {
    fv_bra bra;
    fv_attention_lepe attention_lepe;
    fv_biformer_block block;
} layer;

static fv_bra_config routing(const layer_case *c) {
    return (fv_bra_config){.dim = c->x_shape.dim[3],
                           .heads = layer_case_int(c, "heads"),
                           .regions = layer_case_int(c, "n_win"),
                           .topk = layer_case_int(c, "topk"),
                           .lepe = layer_case_int(c, "side_dwconv"),
                           .auto_pad = layer_case_int(c, "auto_pad")};
}

static fv_status bra_init(layer_case *c, fv_scope scope) {
    const fv_bra_config cfg = routing(c);
    return fv_bra_init(&layer.bra, scope, &cfg);
}
static fv_var *bra_forward(layer_case *c, fv_var *x) {
    (void)c;
    return fv_bra_forward(&layer.bra, x);
}

static fv_status lepe_init(layer_case *c, fv_scope scope) {
    const fv_attention_lepe_config cfg = {
        .dim = c->x_shape.dim[3], .heads = layer_case_int(c, "heads"), .kernel = 5};
    return fv_attention_lepe_init(&layer.attention_lepe, scope, &cfg);
}
static fv_var *lepe_forward(layer_case *c, fv_var *x) {
    (void)c;
    return fv_attention_lepe_forward(&layer.attention_lepe, x);
}

/* Kernels and the width of the MLP are in prose only. */
static fv_status block_init(layer_case *c, fv_scope scope) {
    fv_biformer_block_config cfg = {.attn = routing(c),
                                    .mlp_hidden = 3 * c->x_shape.dim[3],
                                    .pos_kernel = 3,
                                    .mlp_second = "3"};
    cfg.attn.lepe = 5;
    return fv_biformer_block_init(&layer.block, scope, &cfg);
}
static fv_var *block_forward(layer_case *c, fv_var *x) {
    (void)c;
    return fv_biformer_block_forward(&layer.block, x);
}

const layer_kind layer_kinds_biformer[] = {
    {"bra", 0, false, bra_init, bra_forward},
    {"bra_top1", 0, false, bra_init, bra_forward},
    {"bra_all", 0, false, bra_init, bra_forward},
    {"bra_pad", 0, false, bra_init, bra_forward},
    {"attention_lepe", 0, false, lepe_init, lepe_forward},
    {"biformer_block", MAPS, false, block_init, block_forward},
    {0},
};
