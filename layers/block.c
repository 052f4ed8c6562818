#include "layers/block.h"

fv_status fv_block_init(fv_block *m, fv_scope scope, const fv_block_config *cfg) {
    const int64_t C = cfg->shape.dim;

    *m = (fv_block){
        .path = scope.path, .mid = fv_scope_child(scope, "mid").path, .drop_path = cfg->drop_path};
    FV_TRY(fv_norm_layer_init(&m->norm1, fv_scope_child(scope, "norm1"), C, cfg->norm_eps));
    FV_TRY(
        fv_mixer_layer_init(&m->attn, fv_scope_child(scope, "attn"), cfg->attention, &cfg->shape));
    FV_TRY(fv_norm_layer_init(&m->norm2, fv_scope_child(scope, "norm2"), C, cfg->norm_eps));
    FV_TRY(fv_mlp_init(&m->mlp, fv_scope_child(scope, "mlp"), C, cfg->mlp_hidden));
    return m->mid ? FV_OK : FV_ERR_NOMEM;
}

fv_var *fv_block_forward(const fv_block *m, fv_var *x) {
    fv_tape *tape = x->tape;
    const int64_t begin = fv_recompute_begin(tape);
    const char *outer = fv_tape_scope(tape, m->path);

    fv_var *update = fv_mixer_layer_forward(&m->attn, fv_norm_layer_forward(&m->norm1, x));
    x = fv_tap(fv_residual(x, update, m->drop_path), m->mid); /* [B,N,C] */
    update = fv_mlp_forward(&m->mlp, fv_norm_layer_forward(&m->norm2, x));
    x = fv_tap(fv_residual(x, update, m->drop_path), m->path); /* [B,N,C] */
    fv_tape_scope(tape, outer);
    return fv_recompute_end(x, begin);
}
