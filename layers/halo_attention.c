#include "layers/halo_attention.h"

#include "layers/attention_layout.h"

#include <inttypes.h>
#include <math.h>

static fv_status check(const fv_halo_config *c) {
    if (c->dim < 1 || c->heads < 1 || c->dim_head < 0 || c->block < 1 || c->halo < 0)
        return FV_FAIL(FV_ERR_CONFIG,
                       "halo_attention: width %" PRId64 ", %" PRId64 " heads of %" PRId64
                       ", block %" PRId64 ", halo %" PRId64,
                       c->dim, c->heads, c->dim_head, c->block, c->halo);
    if (c->dim_out < 1 || c->dim_out % c->heads)
        return FV_FAIL(FV_ERR_CONFIG,
                       "halo_attention: %" PRId64 " heads do not divide the width %" PRId64,
                       c->heads, c->dim_out);
    if (c->stride < 1 || c->stride > 2)
        return FV_FAIL(FV_ERR_CONFIG, "halo_attention: stride %" PRId64 " is not 1 or 2",
                       c->stride);
    return FV_OK;
}

fv_status fv_halo_attention_init(fv_halo_attention *m, fv_scope scope, const fv_halo_config *cfg) {
    const fv_scope pos = fv_scope_child(scope, "pos_embed");
    fv_halo_config c = *cfg;

    if (c.dim_out == 0) c.dim_out = c.dim;
    if (c.stride == 0) c.stride = 1;
    FV_TRY(check(&c));
    const int64_t h = c.heads, dv = c.dim_out / h;
    if (c.dim_head == 0) c.dim_head = dv;
    const int64_t dk = c.dim_head, w = c.block + 2 * c.halo;
    const fv_init table = {FV_INIT_TRUNC_NORMAL, (float)(1.0 / sqrt((double)dk))};
    fv_conv_config conv = {.in = c.dim,
                           .out = h * dk,
                           .kernel = 1,
                           .stride = c.block % c.stride == 0 ? c.stride : 1,
                           .bias = c.bias,
                           .init = {FV_INIT_TRUNC_NORMAL, (float)(1.0 / sqrt((double)c.dim))}};

    *m = (fv_halo_attention){.path = scope.path, .cfg = c, .pool_stride = c.stride / conv.stride};
    FV_TRY(fv_conv_layer_init(&m->q, fv_scope_child(scope, "q"), &conv));
    conv.out = h * (dk + dv);
    conv.stride = 1;
    FV_TRY(fv_conv_layer_init(&m->kv, fv_scope_child(scope, "kv"), &conv));
    FV_TRY(fv_scope_param(pos, "height_rel", fv_shape_of(2, 2 * w - 1, dk), table, &m->height_rel));
    return fv_scope_param(pos, "width_rel", fv_shape_of(2, 2 * w - 1, dk), table, &m->width_rel);
}

fv_var *fv_halo_attention_forward(const fv_halo_attention *m, fv_var *x) {
    const fv_halo_args args = {.heads = m->cfg.heads,
                               .block = m->cfg.block,
                               .halo = m->cfg.halo,
                               .stride = m->q.args.stride};
    fv_tape *tape = x->tape;
    const char *outer = fv_tape_scope(tape, m->path);
    const fv_attention_layout layout = {.kind = FV_ATTENTION_HALO,
                                        .heads = args.heads,
                                        .H = fv_dim(x, 1),
                                        .W = fv_dim(x, 2),
                                        .rows = args.block,
                                        .cols = args.block,
                                        .across = fv_dim(x, 2) / args.block,
                                        .halo = args.halo,
                                        .stride = args.stride};

    fv_attention_layout_note(tape, &layout);
    fv_var *q = fv_conv_layer_forward(&m->q, x);   /* [B,H/s,W/s,h dk] */
    fv_var *kv = fv_conv_layer_forward(&m->kv, x); /* [B,H,W,h (dk + dv)] */
    fv_var *y = fv_attention_halo(q, kv, fv_param_var(tape, m->height_rel),
                                  fv_param_var(tape, m->width_rel), &args); /* [B,H/s,W/s,h dv] */
    if (m->pool_stride > 1) y = fv_avg_pool(y, m->pool_stride, m->pool_stride);
    fv_tape_scope(tape, outer);
    return fv_tap(y, m->path);
}
