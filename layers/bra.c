#include "layers/bra.h"

#include "layers/attention_layout.h"

#include <inttypes.h>
#include <math.h>

static fv_status check(const fv_bra_config *cfg, const char *path) {
    const char *where = path ? path : "";

    if (cfg->heads < 1 || cfg->dim % cfg->heads)
        return FV_FAIL(FV_ERR_CONFIG, "%s: %" PRId64 " heads do not divide the width %" PRId64,
                       where, cfg->heads, cfg->dim);
    if (cfg->regions < 1 || cfg->topk < 1 || cfg->topk > cfg->regions * cfg->regions)
        return FV_FAIL(FV_ERR_CONFIG, "%s: %" PRId64 " chosen regions of %" PRId64 "x%" PRId64,
                       where, cfg->topk, cfg->regions, cfg->regions);
    if (cfg->lepe < 0 || (cfg->lepe && cfg->lepe % 2 == 0))
        return FV_FAIL(FV_ERR_CONFIG, "%s: a convolution of %" PRId64 " px is not odd", where,
                       cfg->lepe);
    return FV_OK;
}

fv_status fv_bra_init(fv_bra *m, fv_scope scope, const fv_bra_config *cfg) {
    const int64_t C = cfg->dim;
    const fv_conv_config lepe = {
        .in = C, .out = C, .kernel = cfg->lepe, .padding = -1, .groups = C, .bias = true};

    FV_TRY(check(cfg, scope.path));
    *m = (fv_bra){.path = scope.path,
                  .routing = fv_scope_child(scope, "routing").path,
                  .dim = C,
                  .heads = cfg->heads,
                  .regions = cfg->regions,
                  .topk = cfg->topk,
                  .auto_pad = cfg->auto_pad,
                  .has_lepe = cfg->lepe > 0,
                  .scale = (float)(1.0 / sqrt((double)C))};
    if (m->has_lepe) FV_TRY(fv_conv_layer_init(&m->lepe, fv_scope_child(scope, "lepe"), &lepe));
    FV_TRY(
        fv_linear_layer_init(&m->qkv, fv_scope_child(scope, "qkv.qkv"), C, 3 * C, !cfg->no_bias));
    FV_TRY(fv_linear_layer_init(&m->wo, fv_scope_child(scope, "wo"), C, C, true));
    return m->routing ? FV_OK : FV_ERR_NOMEM;
}

/* v of regions qkv [B,R,n,3C] as a map [B,H,W,C] of regions h x w. */
static fv_var *value_map(const fv_bra *m, fv_var *qkv, int64_t h, int64_t w, int64_t H, int64_t W) {
    const int64_t B = fv_dim(qkv, 0), R = fv_dim(qkv, 1), n = fv_dim(qkv, 2);
    fv_var *v = fv_reshape(qkv, fv_shape_of(3, B, R * n, 3 * m->dim)); /* [B,R n,3C] */

    v = fv_heads_split(v, 1, 2, 3);                     /* [B,1,R n,C] */
    v = fv_reshape(v, fv_shape_of(4, B, R, n, m->dim)); /* [B,R,n,C] */
    return fv_window_merge(v, h, w, H, W);              /* [B,H,W,C] */
}

fv_var *fv_bra_forward(const fv_bra *m, fv_var *x) {
    fv_tape *tape = x->tape;
    const char *outer = fv_tape_scope(tape, m->path);
    const int64_t H = fv_dim(x, 1), W = fv_dim(x, 2), S = m->regions;
    const fv_attention_layout layout = {.kind = FV_ATTENTION_ROUTED,
                                        .heads = m->heads,
                                        .H = H,
                                        .W = W,
                                        .rows = (H + S - 1) / S,
                                        .cols = (W + S - 1) / S,
                                        .across = S};

    fv_attention_layout_note(tape, &layout);
    if (m->auto_pad)
        x = fv_pad_map(x, S, S); /* [B,Hp,Wp,C] */
    else if (fv_tape_status(tape) == FV_OK && (H % S || W % S))
        x = fv_tape_fail(tape, FV_FAIL(FV_ERR_SHAPE,
                                       "%s: a map of %" PRId64 "x%" PRId64
                                       " px does not divide into %" PRId64 "x%" PRId64 " regions",
                                       m->path, H, W, S, S));
    const int64_t Hp = fv_dim(x, 1), Wp = fv_dim(x, 2), h = Hp / S, w = Wp / S;
    fv_var *qkv =
        fv_linear_layer_forward(&m->qkv, fv_window_partition(x, h, w)); /* [B,S^2,hw,3C] */
    fv_var *local = NULL;
    if (m->has_lepe) local = fv_conv_layer_forward(&m->lepe, value_map(m, qkv, h, w, Hp, Wp));

    fv_var *chosen = fv_tap(fv_route(qkv, m->topk), m->routing);            /* [B,S^2,k] */
    fv_var *y = fv_routed_attention(qkv, chosen, NULL, m->heads, m->scale); /* [B,S^2,hw,C] */
    y = fv_window_merge(y, h, w, Hp, Wp);                                   /* [B,Hp,Wp,C] */
    if (local) y = fv_add_to(y, local, fv_product_dtype(tape));             /* [B,Hp,Wp,C] */
    y = fv_linear_layer_forward(&m->wo, fv_crop_map(y, H, W));              /* [B,H,W,C] */
    fv_tape_scope(tape, outer);
    return fv_tap(y, m->path);
}
