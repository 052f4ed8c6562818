/* mixer_halo.c - blocked local attention with halos (Vaswani et al. 2021, section 2) as a token mixer:
 * halo_attention.h with biases and an output projection, on the grid of a backbone.
 *
 * The grid is cut into blocks of b x b tokens, whose queries attend to the window of w = b + 2 halo tokens
 * a side around them.  What lies outside of the grid is zero and not masked.  Where b does not divide
 * the grid, zeros go on at the bottom and right after the projections, which is the same convention.
 * Prefix tokens (class token, registers) are further keys of every query, inside the same softmax and
 * without a position term; their own queries attend to all tokens. */
#include "layers/attention_layout.h"
#include "layers/linear.h"
#include "layers/mixer_list.h"

#include <inttypes.h>
#include <math.h>

typedef struct halo {
    const char *path;
    fv_linear_layer q, kv, proj;      /* [C,C]; [2C,C], per head d keys, then d values; [C,C] */
    fv_param *height_rel, *width_rel; /* pos_embed.*: [2w-1,d] */
    int64_t heads, block, halo;
    int64_t n_prefix, grid_h, grid_w, dim;
    fv_attention_layout layout;
} halo;

static const char *const keys[] = {"kind",       "heads",     "qkv_bias", "proj_bias",
                                   "halo.block", "halo.halo", NULL};

/* Without halo.block: the backbone's window, else blocks of 8 on grids of at least 16, of 4 on smaller
 * ones, none larger than the grid.  Without halo.halo: the widest with 2 halo < block. */
static fv_status read_window(halo *m, fv_value *cfg, const fv_mixer_shape *shape) {
    const int64_t side = shape->grid_h > shape->grid_w ? shape->grid_h : shape->grid_w;
    fv_value *own = NULL;

    m->block = 0;
    m->halo = -1;
    FV_TRY(fv_value_get_map(cfg, "halo", &own));
    FV_TRY(fv_value_get_int(own, "block", 0, 16384, &m->block));
    FV_TRY(fv_value_get_int(own, "halo", -1, 16384, &m->halo));
    if (m->block == 0) {
        m->block = shape->window ? shape->window : (side < 16 ? 4 : 8);
        if (m->block > side) m->block = side;
    }
    if (m->halo < 0) m->halo = (m->block - 1) / 2;
    return FV_OK;
}

static fv_status init(void *self, fv_scope scope, fv_value *cfg, const fv_mixer_shape *shape) {
    halo *m = self;
    const fv_scope pos = fv_scope_child(scope, "pos_embed");
    const int64_t C = shape->dim;
    bool qkv_bias = shape->qkv_bias, proj_bias = shape->proj_bias;

    m->heads = 0;
    FV_TRY(fv_value_get_int(cfg, "heads", 0, C, &m->heads));
    FV_TRY(fv_value_get_bool(cfg, "qkv_bias", &qkv_bias));
    FV_TRY(fv_value_get_bool(cfg, "proj_bias", &proj_bias));
    FV_TRY(read_window(m, cfg, shape));
    if (m->heads == 0) m->heads = shape->heads;
    if (m->heads < 1 || C % m->heads)
        return FV_FAIL(FV_ERR_CONFIG,
                       "attention.heads: %" PRId64 " does not divide the width %" PRId64, m->heads,
                       C);
    m->path = scope.path;
    m->n_prefix = shape->n_prefix;
    m->grid_h = shape->grid_h;
    m->grid_w = shape->grid_w;
    m->dim = C;
    m->layout = (fv_attention_layout){.kind = FV_ATTENTION_HALO,
                                      .heads = m->heads,
                                      .n_prefix = shape->n_prefix,
                                      .H = shape->grid_h,
                                      .W = shape->grid_w,
                                      .rows = m->block,
                                      .cols = m->block,
                                      .across = (shape->grid_w + m->block - 1) / m->block,
                                      .halo = m->halo};
    const int64_t d = C / m->heads, rows = 2 * (m->block + 2 * m->halo) - 1;
    const fv_init table = {FV_INIT_TRUNC_NORMAL, (float)(1.0 / sqrt((double)d))};
    FV_TRY(fv_linear_layer_init(&m->q, fv_scope_child(scope, "q"), C, C, qkv_bias));
    FV_TRY(fv_linear_layer_init(&m->kv, fv_scope_child(scope, "kv"), C, 2 * C, qkv_bias));
    FV_TRY(fv_scope_param(pos, "height_rel", fv_shape_of(2, rows, d), table, &m->height_rel));
    FV_TRY(fv_scope_param(pos, "width_rel", fv_shape_of(2, rows, d), table, &m->width_rel));
    return fv_linear_layer_init(&m->proj, fv_scope_child(scope, "proj"), C, C, proj_bias);
}

/* Grid tokens [B,HW,c] as a map of whole blocks [B,H',W',c]. */
static fv_var *map_of(const halo *m, fv_var *tokens) {
    return fv_pad_map(fv_tokens_to_map(tokens, m->grid_h, m->grid_w), m->block, m->block);
}

/* Its inverse. */
static fv_var *tokens_of(const halo *m, fv_var *map) {
    return fv_map_to_tokens(fv_crop_map(map, m->grid_h, m->grid_w));
}

/* x [B,HW,C] -> [B,HW,C] */
static fv_var *attend(const halo *m, fv_var *x) {
    const fv_halo_args args = {.heads = m->heads, .block = m->block, .halo = m->halo};
    fv_var *q = map_of(m, fv_linear_layer_forward(&m->q, x));   /* [B,H',W',C] */
    fv_var *kv = map_of(m, fv_linear_layer_forward(&m->kv, x)); /* [B,H',W',2C] */
    fv_var *height = fv_param_var(x->tape, m->height_rel),
           *width = fv_param_var(x->tape, m->width_rel);
    return tokens_of(m, fv_attention_halo(q, kv, height, width, &args)); /* [B,HW,C] */
}

/* Channels first .. first + d - 1 of each head: tokens [B,M,c] -> [B,h,M,d] */
static fv_var *heads_of(const halo *m, fv_var *tokens, int64_t first) {
    const int64_t B = fv_dim(tokens, 0), M = fv_dim(tokens, 1), d = m->dim / m->heads;
    fv_var *y = fv_halo_gather(fv_tokens_to_map(tokens, 1, M), 1, 0, m->heads, first, d);
    return fv_reshape(y, fv_shape_of(4, B, m->heads, M, d));
}

static float scale_of(const halo *m) { return (float)(1.0 / sqrt((double)(m->dim / m->heads))); }

/* Queries of the prefix and all tokens: q [B,P,C], kv [B,N,2C] -> [B,P,C] */
static fv_var *prefix_attend(const halo *m, fv_var *q, fv_var *kv) {
    const char *outer = fv_tape_scope_child(q->tape, "prefix");
    fv_attention_parts p = {.q = heads_of(m, q, 0),                   /* [B,h,P,d] */
                            .k = heads_of(m, kv, 0),                  /* [B,h,N,d] */
                            .v = heads_of(m, kv, m->dim / m->heads)}; /* [B,h,N,d] */
    p.logits = fv_scale(fv_matmul_nt(p.q, p.k), scale_of(m));         /* [B,h,P,N] */
    fv_var *y = fv_heads_merge(fv_attention_mix(&p));                 /* [B,P,C] */

    fv_tape_scope(q->tape, outer);
    return y;
}

/* Queries of the grid: maps q [B,H',W',C] and kv [B,H',W',2C], prefix [B,P,2C] -> map [B,H',W',C].  In
 * single ops, in every mode. */
static fv_var *grid_attend(const halo *m, fv_var *q, fv_var *kv, fv_var *prefix) {
    fv_tape *tape = q->tape;
    const int64_t B = fv_dim(q, 0), H = fv_dim(q, 1), W = fv_dim(q, 2), P = m->n_prefix;
    const int64_t h = m->heads, d = m->dim / h, b = m->block, w = b + 2 * m->halo;
    const int64_t n = H / b * (W / b), bb = b * b;
    fv_var *height = fv_param_var(tape, m->height_rel), *width = fv_param_var(tape, m->width_rel);

    q = fv_tap_part(fv_halo_gather(q, b, 0, h, 0, d), "queries");               /* [B,h,n,b^2,d] */
    fv_var *k = fv_tap_part(fv_halo_gather(kv, b, m->halo, h, 0, d), "keys");   /* [B,h,n,w^2,d] */
    fv_var *v = fv_tap_part(fv_halo_gather(kv, b, m->halo, h, d, d), "values"); /* [B,h,n,w^2,d] */
    fv_var *all = fv_reshape(q, fv_shape_of(4, B, h, n * bb, d));
    fv_var *near = fv_add(fv_scale(fv_matmul_nt(q, k), scale_of(m)),
                          fv_rel_logits(q, height, width, b, w)); /* [B,h,n,b^2,w^2] */
    fv_var *first = fv_scale(fv_matmul_nt(all, heads_of(m, prefix, 0)), scale_of(m));
    first = fv_reshape(first, fv_shape_of(5, B, h, n, bb, P)); /* [B,h,n,b^2,P] */
    fv_var *logits = fv_tap_part(fv_join_channels(first, near), "logits");
    fv_var *attn = fv_tap_part(fv_softmax(logits), "weights"); /* [B,h,n,b^2,P+w^2] */
    fv_var *to_first = fv_reshape(fv_slice_channels(attn, 0, P), fv_shape_of(4, B, h, n * bb, P));
    fv_var *y = fv_matmul(fv_slice_channels(attn, P, w * w), v); /* [B,h,n,b^2,d] */
    y = fv_add(fv_reshape(y, fv_shape_of(4, B, h, n * bb, d)),
               fv_matmul(to_first, heads_of(m, prefix, d)));            /* [B,h,n b^2,d] */
    y = fv_reshape(fv_heads_merge(y), fv_shape_of(4, B, n, bb, h * d)); /* [B,n,b^2,C] */
    return fv_window_merge(y, b, b, H, W);                              /* [B,H',W',C] */
}

/* x [B,P+HW,C] -> [B,P+HW,C] */
static fv_var *attend_with_prefix(const halo *m, fv_var *x) {
    const int64_t P = m->n_prefix, HW = m->grid_h * m->grid_w;
    fv_var *q = fv_linear_layer_forward_f32(&m->q, x);               /* [B,N,C] */
    fv_var *kv = fv_linear_layer_forward_f32(&m->kv, x);             /* [B,N,2C] */
    fv_var *prefix = prefix_attend(m, fv_slice_tokens(q, 0, P), kv); /* [B,P,C] */
    fv_var *map = grid_attend(m, map_of(m, fv_slice_tokens(q, P, HW)),
                              map_of(m, fv_slice_tokens(kv, P, HW)), fv_slice_tokens(kv, 0, P));
    return fv_join_prefix(prefix, tokens_of(m, map)); /* [B,N,C] */
}

/* x [B,N,C] -> [B,N,C].  Taps of fv_attention_parts, "<path>.weights" [B,h,n,b^2,(P+)w^2], without
 * prefix tokens in FV_EXPLAIN only; "<path>.keys" are those of the grid. */
static fv_var *forward(const void *self, fv_var *x) {
    const halo *m = self;

    fv_attention_layout_note(x->tape, &m->layout);
    fv_var *y = m->n_prefix ? attend_with_prefix(m, x) : attend(m, x); /* [B,N,C] */
    return fv_linear_layer_forward(&m->proj, y);                       /* [B,N,C] */
}

const fv_mixer fv_mixer_halo = {.kind = "halo",
                                .caps = FV_MIXER_PREFIX | FV_MIXER_ANYGRID | FV_MIXER_LINEAR_TIME,
                                .self_bytes = sizeof(halo),
                                .keys = keys,
                                .init = init,
                                .forward = forward};
