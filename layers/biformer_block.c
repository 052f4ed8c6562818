#include "layers/biformer_block.h"

#define NORM_EPS     1e-6f
#define GLOBAL_HEADS 8
#define GLOBAL_LEPE  5 /* px */

static fv_status init_gammas(fv_biformer_block *m, fv_scope scope, int64_t dim, float value) {
    const fv_init init = {FV_INIT_CONSTANT, value};

    if (value <= 0.0f) return FV_OK;
    FV_TRY(fv_scope_param(scope, "gamma1", fv_shape_of(1, dim), init, &m->gamma1));
    return fv_scope_param(scope, "gamma2", fv_shape_of(1, dim), init, &m->gamma2);
}

static fv_status init_attention(fv_biformer_block *m, fv_scope scope, const fv_bra_config *cfg) {
    m->is_global = cfg->topk == 0;
    if (!m->is_global) return fv_bra_init(&m->bra, scope, cfg);
    const fv_attention_lepe_config global = {
        .dim = cfg->dim, .heads = GLOBAL_HEADS, .kernel = GLOBAL_LEPE};
    return fv_attention_lepe_init(&m->global, scope, &global);
}

fv_status fv_biformer_block_init(fv_biformer_block *m, fv_scope scope,
                                 const fv_biformer_block_config *cfg) {
    const int64_t C = cfg->attn.dim;
    const fv_conv_config pos = {
        .in = C, .out = C, .kernel = cfg->pos_kernel, .padding = -1, .groups = C, .bias = true};

    *m = (fv_biformer_block){.path = scope.path,
                             .mid = fv_scope_child(scope, "mid").path,
                             .has_pos = cfg->pos_kernel > 0,
                             .drop_path = cfg->drop_path};
    FV_TRY(init_gammas(m, scope, C, cfg->layer_scale));
    if (m->has_pos)
        FV_TRY(fv_conv_layer_init(&m->pos_embed, fv_scope_child(scope, "pos_embed"), &pos));
    FV_TRY(fv_norm_layer_init(&m->norm1, fv_scope_child(scope, "norm1"), C, NORM_EPS));
    FV_TRY(init_attention(m, fv_scope_child(scope, "attn"), &cfg->attn));
    FV_TRY(fv_norm_layer_init(&m->norm2, fv_scope_child(scope, "norm2"), C, NORM_EPS));
    FV_TRY(fv_mlp_init_named(&m->mlp, fv_scope_child(scope, "mlp"), C, cfg->mlp_hidden, "0",
                             cfg->mlp_second));
    return m->mid ? FV_OK : FV_ERR_NOMEM;
}

/* x + gamma branch, gamma NULL: 1 */
static fv_var *add_branch(const fv_biformer_block *m, fv_var *x, fv_var *branch, fv_param *gamma) {
    if (gamma) branch = fv_channel_scale(branch, fv_param_var(x->tape, gamma));
    return fv_residual(x, branch, m->drop_path);
}

fv_var *fv_biformer_block_forward(const fv_biformer_block *m, fv_var *x) {
    fv_tape *tape = x->tape;
    const int64_t begin = fv_recompute_begin(tape);
    const char *outer = fv_tape_scope(tape, m->path);

    if (m->has_pos) x = fv_add(x, fv_conv_layer_forward(&m->pos_embed, x));
    fv_var *y = fv_norm_layer_forward(&m->norm1, x);
    y = m->is_global ? fv_attention_lepe_forward(&m->global, y) : fv_bra_forward(&m->bra, y);
    x = fv_tap(add_branch(m, x, y, m->gamma1), m->mid); /* [B,H,W,C] */
    y = fv_mlp_forward(&m->mlp, fv_norm_layer_forward(&m->norm2, x));
    x = fv_tap(add_branch(m, x, y, m->gamma2), m->path); /* [B,H,W,C] */
    fv_tape_scope(tape, outer);
    return fv_recompute_end(x, begin);
}
