#include "layers/davit_block.h"

fv_status fv_davit_block_init(fv_davit_block *m, fv_scope scope, const fv_block_config *cfg) {
    const int64_t C = cfg->shape.dim;

    *m = (fv_davit_block){.path = scope.path,
                          .mid = fv_scope_child(scope, "mid").path,
                          .grid_h = cfg->shape.grid_h,
                          .grid_w = cfg->shape.grid_w,
                          .drop_path = cfg->drop_path};
    FV_TRY(fv_conv_pos_init(&m->cpe1, fv_scope_child(scope, "cpe1"), C));
    FV_TRY(fv_norm_layer_init(&m->norm1, fv_scope_child(scope, "norm1"), C, cfg->norm_eps));
    FV_TRY(
        fv_mixer_layer_init(&m->attn, fv_scope_child(scope, "attn"), cfg->attention, &cfg->shape));
    FV_TRY(fv_conv_pos_init(&m->cpe2, fv_scope_child(scope, "cpe2"), C));
    FV_TRY(fv_norm_layer_init(&m->norm2, fv_scope_child(scope, "norm2"), C, cfg->norm_eps));
    FV_TRY(fv_mlp_init(&m->mlp, fv_scope_child(scope, "mlp"), C, cfg->mlp_hidden));
    return m->mid ? FV_OK : FV_ERR_NOMEM;
}

fv_var *fv_davit_block_forward(const fv_davit_block *m, fv_var *x) {
    fv_tape *tape = x->tape;
    const int64_t begin = fv_recompute_begin(tape);
    const char *outer = fv_tape_scope(tape, m->path);

    x = fv_conv_pos_forward(&m->cpe1, x);                                   /* [B,H,W,C] */
    fv_var *tokens = fv_map_to_tokens(fv_norm_layer_forward(&m->norm1, x)); /* [B,HW,C] */
    fv_var *update = fv_mixer_layer_forward(&m->attn, tokens);              /* [B,HW,C] */
    update = fv_tokens_to_map(update, m->grid_h, m->grid_w);                /* [B,H,W,C] */
    x = fv_tap(fv_residual(x, update, m->drop_path), m->mid);
    x = fv_conv_pos_forward(&m->cpe2, x);
    update = fv_mlp_forward(&m->mlp, fv_norm_layer_forward(&m->norm2, x)); /* [B,H,W,C] */
    x = fv_tap(fv_residual(x, update, m->drop_path), m->path);
    fv_tape_scope(tape, outer);
    return fv_recompute_end(x, begin);
}
