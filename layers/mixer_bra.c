/* mixer_bra.c - bi-level routing attention (Zhu et al. 2023, "BiFormer"; bra.h) for any grid of tokens.
 *
 * The grid is cut into S x S regions; the tokens of a region attend to those of the k regions whose mean
 * key suits its mean query best, at the scale C^-1/2 of the whole width unless another one is given; a
 * depthwise convolution of the values is added.  Where S does not divide the grid, zeros go on at the
 * bottom and right before the projection: a padded token has the biases as q, k and v, counts in the
 * means, and is a key like the others; its own update is left out.
 * Prefix tokens take no part in the choice: they are keys of every region, and attend to all real tokens
 * (prefix_attention.h). */
#include "layers/attention_layout.h"
#include "layers/conv.h"
#include "layers/mixer_list.h"
#include "layers/packed_qkv.h"
#include "layers/prefix_attention.h"

#include <inttypes.h>
#include <math.h>

#define REGIONS      7 /* a side: BiFormer's */
#define FEWER        4 /* where 7 does not divide the grid */
#define TOPK         4 /* that of BiFormer's second stage */
#define LEPE         5 /* px */
#define MOST_REGIONS 1024

typedef struct bra {
    const char *path, *routing; /* routing: tap of the choice */
    fv_packed_qkv part;
    fv_conv_layer lepe; /* [C,1,k,k] */
    bool has_lepe, pads;
    float scale;
    int64_t side, topk; /* S, k */
    int64_t h, w;       /* tokens of a region */
    int64_t n_prefix, grid_h, grid_w, dim;
    fv_attention_layout layout;
} bra;

static const char *const keys[] = {"kind",     FV_PACKED_QKV_KEYS, "bra.regions",
                                   "bra.topk", "bra.lepe",         NULL};

/* 7 where that divides both sides, else 4, or the shorter side where that is less. */
static int64_t default_side(const fv_mixer_shape *shape) {
    const int64_t shorter = shape->grid_h < shape->grid_w ? shape->grid_h : shape->grid_w;
    if (shape->grid_h % REGIONS == 0 && shape->grid_w % REGIONS == 0) return REGIONS;
    return shorter < FEWER ? shorter : FEWER;
}

static fv_status read_keys(bra *m, fv_value *cfg, const fv_mixer_shape *shape, int64_t *lepe) {
    fv_value *own = NULL;
    int64_t side = 0, topk = 0;

    FV_TRY(fv_value_get_map(cfg, "bra", &own));
    FV_TRY(fv_value_get_int(own, "regions", 0, MOST_REGIONS, &side)); /* 0: default_side */
    FV_TRY(fv_value_get_int(own, "topk", 0, MOST_REGIONS * MOST_REGIONS, &topk)); /* 0: 4 */
    FV_TRY(fv_value_get_int(own, "lepe", 0, 63, lepe));
    m->side = side ? side : default_side(shape);
    const int64_t all = m->side * m->side;
    m->topk = topk ? topk : (TOPK < all ? TOPK : all);
    if (m->topk > all)
        return FV_FAIL(FV_ERR_CONFIG,
                       "attention.bra.topk: %" PRId64 " of %" PRId64 "x%" PRId64 " regions", topk,
                       m->side, m->side);
    if (*lepe && *lepe % 2 == 0)
        return FV_FAIL(FV_ERR_CONFIG, "attention.bra.lepe: %" PRId64 " is not odd", *lepe);
    return FV_OK;
}

static fv_status init(void *self, fv_scope scope, fv_value *cfg, const fv_mixer_shape *shape) {
    bra *m = self;
    const int64_t C = shape->dim;
    int64_t lepe = LEPE;

    FV_TRY(read_keys(m, cfg, shape, &lepe));
    FV_TRY(fv_packed_qkv_init(&m->part, scope, cfg, shape));
    const fv_conv_config conv = {
        .in = C, .out = C, .kernel = lepe, .padding = -1, .groups = C, .bias = true};
    m->has_lepe = lepe > 0;
    if (m->has_lepe) FV_TRY(fv_conv_layer_init(&m->lepe, fv_scope_child(scope, "lepe"), &conv));
    m->path = scope.path;
    m->routing = fv_scope_child(scope, "routing").path;
    m->scale = m->part.scale > 0.0f ? m->part.scale : (float)(1.0 / sqrt((double)C));
    m->h = (shape->grid_h + m->side - 1) / m->side;
    m->w = (shape->grid_w + m->side - 1) / m->side;
    m->pads = m->h * m->side != shape->grid_h || m->w * m->side != shape->grid_w;
    m->n_prefix = shape->n_prefix;
    m->grid_h = shape->grid_h;
    m->grid_w = shape->grid_w;
    m->dim = C;
    m->layout = (fv_attention_layout){.kind = FV_ATTENTION_ROUTED,
                                      .heads = m->part.heads,
                                      .n_prefix = shape->n_prefix,
                                      .H = shape->grid_h,
                                      .W = shape->grid_w,
                                      .rows = m->h,
                                      .cols = m->w,
                                      .across = m->side,
                                      .prefix_packed = !m->pads};
    return m->routing ? FV_OK : FV_ERR_NOMEM;
}

/* Regions [B,R,n,*] -> the padded map. */
static fv_var *merge(const bra *m, fv_var *regions) {
    return fv_window_merge(regions, m->h, m->w, m->side * m->h, m->side * m->w);
}

/* Depthwise convolution of the values of regions qkv [B,R,n,3C], on the padded map. */
static fv_var *local(const bra *m, fv_var *qkv) {
    const fv_shape flat = {4, {fv_dim(qkv, 0), fv_dim(qkv, 1), fv_dim(qkv, 2), m->dim}};
    fv_var *v = fv_reshape(fv_heads_split(qkv, 1, 2, 3), flat); /* [B,R,n,C] */
    return fv_conv_layer_forward(&m->lepe, merge(m, v));        /* [B,S h,S w,C] */
}

/* Regions qkv [B,R,n,3C], prefix [B,P,3C] or NULL -> update of the grid [B,H,W,C]. */
static fv_var *attend(const bra *m, fv_var *qkv, fv_var *prefix) {
    fv_var *near = m->has_lepe ? local(m, qkv) : NULL;
    fv_var *chosen = fv_tap(fv_route(qkv, m->topk), m->routing); /* [B,R,k] */
    fv_var *y = merge(m, fv_routed_attention(qkv, chosen, prefix, m->part.heads, m->scale));

    if (near) y = fv_add_to(y, near, fv_product_dtype(y->tape));
    return fv_crop_map(y, m->grid_h, m->grid_w);
}

/* The same with prefix tokens [B,P,C], which are projected with the grid; *prefix becomes their update. */
static fv_var *attend_with_prefix(const bra *m, fv_var **prefix, fv_var *regions) {
    const int64_t B = fv_dim(regions, 0), R = m->side * m->side, n = m->h * m->w;
    const int64_t P = m->n_prefix, C = m->dim;

    fv_var *row = fv_reshape(regions, fv_shape_of(3, B, R * n, C)); /* [B,R n,C] */
    row = fv_join_prefix(*prefix, row);                             /* [B,P+R n,C] */
    fv_var *all = fv_linear_layer_forward(&m->part.qkv, row);       /* [B,P+R n,3C] */
    fv_var *first = fv_slice_tokens(all, 0, P);                     /* [B,P,3C] */
    fv_var *qkv =
        fv_reshape(fv_slice_tokens(all, P, R * n), fv_shape_of(4, B, R, n, 3 * C)); /* [B,R,n,3C] */
    fv_var *real = all; /* [B,P+HW,3C] in some order */
    if (m->pads) real = fv_prefix_merge(first, fv_crop_map(merge(m, qkv), m->grid_h, m->grid_w));
    *prefix = fv_prefix_attention(real, P, m->part.heads, m->scale); /* [B,P,C] */
    return attend(m, qkv, first);
}

/* x [B,N,C] -> [B,N,C].  Taps "<path>.routing" [B,R,k], in FV_EXPLAIN those of fv_attention_parts,
 * "<path>.weights" [B,R,h,n,P+k n]. */
static fv_var *forward(const void *self, fv_var *x) {
    const bra *m = self;

    fv_attention_layout_note(x->tape, &m->layout);
    fv_prefix_parts in = fv_prefix_split(x, m->n_prefix, m->grid_h, m->grid_w);
    fv_var *padded = fv_pad_map(in.map, m->side, m->side);           /* [B,S h,S w,C] */
    fv_var *regions = fv_window_partition(padded, m->h, m->w), *map; /* [B,R,n,C] */

    if (in.prefix)
        map = attend_with_prefix(m, &in.prefix, regions); /* [B,H,W,C] */
    else
        map = attend(m, fv_linear_layer_forward(&m->part.qkv, regions), NULL);
    return fv_linear_layer_forward(&m->part.proj, fv_prefix_merge(in.prefix, map)); /* [B,N,C] */
}

const fv_mixer fv_mixer_bra = {.kind = "bra",
                               .caps = FV_MIXER_PREFIX | FV_MIXER_ANYGRID,
                               .self_bytes = sizeof(bra),
                               .keys = keys,
                               .init = init,
                               .forward = forward};
