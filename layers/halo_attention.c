#include "layers/halo_attention.h"

#include <inttypes.h>
#include <math.h>

static fv_status check(const fv_halo_config *c) {
    if (c->dim < 1 || c->heads < 1 || c->block < 1 || c->halo < 0)
        return FV_FAIL(FV_ERR_CONFIG,
                       "halo_attention: width %" PRId64 ", %" PRId64 " heads, block %" PRId64
                       ", halo %" PRId64,
                       c->dim, c->heads, c->block, c->halo);
    if (c->dim_out < 1 || c->dim_out % c->heads)
        return FV_FAIL(FV_ERR_CONFIG,
                       "halo_attention: %" PRId64 " heads do not divide the width %" PRId64,
                       c->heads, c->dim_out);
    if (c->stride < 1 || c->stride > 2)
        return FV_FAIL(FV_ERR_CONFIG, "halo_attention: stride %" PRId64 " is not 1 or 2",
                       c->stride);
    return FV_OK;
}

/* A 1x1 convolution: weight [out,C,1,1], bias [out] where asked for. */
static fv_status declare(fv_scope scope, const fv_halo_config *c, int64_t out, fv_param **weight,
                         fv_param **bias) {
    const fv_init init = {FV_INIT_TRUNC_NORMAL, (float)(1.0 / sqrt((double)c->dim))};

    FV_TRY(fv_scope_param(scope, "weight", fv_shape_of(4, out, c->dim, (int64_t)1, (int64_t)1),
                          init, weight));
    if (!c->bias) return FV_OK;
    return fv_scope_param(scope, "bias", fv_shape_of(1, out), (fv_init){FV_INIT_ZEROS, 0.0f}, bias);
}

fv_status fv_halo_attention_init(fv_halo_attention *m, fv_scope scope, const fv_halo_config *cfg) {
    const fv_scope q = fv_scope_child(scope, "q"), kv = fv_scope_child(scope, "kv");
    const fv_scope pos = fv_scope_child(scope, "pos_embed");
    fv_halo_config c = *cfg;

    if (c.dim_out == 0) c.dim_out = c.dim;
    if (c.stride == 0) c.stride = 1;
    FV_TRY(check(&c));
    const int64_t h = c.heads, dv = c.dim_out / h;
    if (c.dim_head == 0) c.dim_head = dv;
    const int64_t dk = c.dim_head, w = c.block + 2 * c.halo;
    const fv_init table = {FV_INIT_TRUNC_NORMAL, (float)(1.0 / sqrt((double)dk))};

    *m = (fv_halo_attention){.path = scope.path, .q_path = q.path, .kv_path = kv.path, .cfg = c};
    m->query_stride = c.block % c.stride == 0 ? c.stride : 1;
    m->pool_stride = c.stride / m->query_stride;
    FV_TRY(declare(q, &c, h * dk, &m->q_weight, &m->q_bias));
    FV_TRY(declare(kv, &c, h * (dk + dv), &m->kv_weight, &m->kv_bias));
    FV_TRY(fv_scope_param(pos, "height_rel", fv_shape_of(2, 2 * w - 1, dk), table, &m->height_rel));
    return fv_scope_param(pos, "width_rel", fv_shape_of(2, 2 * w - 1, dk), table, &m->width_rel);
}

static fv_var *project(fv_var *x, const char *path, fv_param *weight, fv_param *bias,
                       int64_t stride) {
    fv_tape *tape = x->tape;
    const char *outer = fv_tape_scope(tape, path);
    fv_var *b = bias ? fv_param_var(tape, bias) : NULL; /* [O] */
    fv_var *y = fv_conv2d(x, fv_param_var(tape, weight), b, &(fv_conv2d_args){.stride = stride});

    fv_tape_scope(tape, outer);
    return fv_tap(y, path);
}

/* Tap "<path>.attn" in FV_EXPLAIN, where fv_attention_halo is composed. */
fv_var *fv_halo_attention_forward(const fv_halo_attention *m, fv_var *x) {
    const fv_halo_args args = {.heads = m->cfg.heads,
                               .block = m->cfg.block,
                               .halo = m->cfg.halo,
                               .stride = m->query_stride};
    fv_tape *tape = x->tape;
    const char *outer = fv_tape_scope(tape, m->path);

    fv_var *q =
        project(x, m->q_path, m->q_weight, m->q_bias, m->query_stride); /* [B,H/s,W/s,h dk] */
    fv_var *kv = project(x, m->kv_path, m->kv_weight, m->kv_bias, 1);   /* [B,H,W,h (dk + dv)] */
    fv_var *y = fv_attention_halo(q, kv, fv_param_var(tape, m->height_rel),
                                  fv_param_var(tape, m->width_rel), &args); /* [B,H/s,W/s,h dv] */
    if (m->pool_stride > 1) y = fv_avg_pool(y, m->pool_stride, m->pool_stride);
    fv_tape_scope(tape, outer);
    return fv_tap(y, m->path);
}
