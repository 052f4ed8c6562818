/* mixer_window.c - attention inside of windows that do not overlap and do not move (DaViT's spatial
 * attention, Ding et al. 2022, section 3.2; windows of Liu et al. 2021 without shift and bias).
 *
 * The grid is cut into windows of w x w tokens; where w does not divide it, zeros go on at the bottom and
 * right before the projection.  There is no mask: a padded token has the biases as q, k and v and is a
 * key like the others; its own update is left out.  Prefix tokens: prefix_attention.h, and they attend
 * to real tokens only. */
#include "layers/attention_layout.h"
#include "layers/mixer_list.h"
#include "layers/packed_qkv.h"
#include "layers/prefix_attention.h"

#define WINDOW 7 /* where the backbone has none: DaViT's */

typedef struct window {
    const char *path;
    fv_packed_qkv part;
    float scale;
    int64_t side; /* of a window, w */
    int64_t n_prefix, grid_h, grid_w, dim;
    int64_t windows, tokens; /* nW; n = w^2 */
    bool pads;
    fv_attention_layout layout;
} window;

static const char *const keys[] = {"kind", FV_PACKED_QKV_KEYS, "window.size", NULL};

static fv_status init(void *self, fv_scope scope, fv_value *cfg, const fv_mixer_shape *shape) {
    window *m = self;
    fv_value *own = NULL;
    int64_t side = 0;

    FV_TRY(fv_packed_qkv_init(&m->part, scope, cfg, shape));
    FV_TRY(fv_value_get_map(cfg, "window", &own));
    FV_TRY(fv_value_get_int(own, "size", 0, 16384, &side)); /* 0: the backbone's */
    if (side == 0) side = shape->window ? shape->window : WINDOW;
    const int64_t down = (shape->grid_h + side - 1) / side,
                  right = (shape->grid_w + side - 1) / side;
    m->path = scope.path;
    m->scale = fv_packed_qkv_scale(&m->part, shape->dim);
    m->side = side;
    m->n_prefix = shape->n_prefix;
    m->grid_h = shape->grid_h;
    m->grid_w = shape->grid_w;
    m->dim = shape->dim;
    m->windows = down * right;
    m->tokens = side * side;
    m->pads = down * side != shape->grid_h || right * side != shape->grid_w;
    m->layout = (fv_attention_layout){.kind = FV_ATTENTION_WINDOW,
                                      .heads = m->part.heads,
                                      .n_prefix = shape->n_prefix,
                                      .H = shape->grid_h,
                                      .W = shape->grid_w,
                                      .rows = side,
                                      .cols = side,
                                      .across = right,
                                      .prefix_packed = !m->pads};
    return FV_OK;
}

static fv_var *merge(const window *m, fv_var *windows) {
    return fv_window_merge(windows, m->side, m->side, m->grid_h, m->grid_w);
}

/* windows [B,nW,n,C] -> map [B,H,W,C] */
static fv_var *attend(const window *m, fv_var *windows) {
    fv_var *qkv = fv_linear_layer_forward(&m->part.qkv, windows); /* [B,nW,n,3C] */
    return merge(m, fv_attention(qkv, m->part.heads, m->scale));  /* [B,H,W,C] */
}

/* The same with prefix tokens [B,P,C]; *prefix becomes their update. */
static fv_var *attend_with_prefix(const window *m, fv_var **prefix, fv_var *windows) {
    const int64_t B = fv_dim(windows, 0), nW = m->windows, n = m->tokens, P = m->n_prefix;
    const int64_t h = m->part.heads, C = m->dim;

    fv_var *row = fv_reshape(windows, fv_shape_of(3, B, nW * n, C)); /* [B,nW n,C] */
    row = fv_join_prefix(*prefix, row);                              /* [B,P+nW n,C] */
    fv_var *all = fv_linear_layer_forward(&m->part.qkv, row);        /* [B,P+nW n,3C] */
    fv_var *first = fv_slice_tokens(all, 0, P);                      /* [B,P,3C] */
    fv_var *qkv = fv_reshape(fv_slice_tokens(all, P, nW * n),
                             fv_shape_of(4, B, nW, n, 3 * C));            /* [B,nW,n,3C] */
    fv_var *real = m->pads ? fv_prefix_merge(first, merge(m, qkv)) : all; /* [B,P+HW,3C] */

    *prefix = fv_prefix_attention(real, P, h, m->scale);           /* [B,P,C] */
    qkv = fv_join_prefix(first, qkv);                              /* [B,nW,P+n,3C] */
    return merge(m, fv_attention_queries(qkv, h, m->scale, P, n)); /* [B,H,W,C] */
}

/* x [B,N,C] -> [B,N,C].  Taps of fv_attention_parts in FV_EXPLAIN, "<path>.weights" [B,nW,h,n,P+n]. */
static fv_var *forward(const void *self, fv_var *x) {
    const window *m = self;

    fv_attention_layout_note(x->tape, &m->layout);
    fv_prefix_parts in = fv_prefix_split(x, m->n_prefix, m->grid_h, m->grid_w);
    fv_var *windows = fv_window_partition(in.map, m->side, m->side); /* [B,nW,n,C] */
    fv_var *map = in.prefix ? attend_with_prefix(m, &in.prefix, windows) : attend(m, windows);
    return fv_linear_layer_forward(&m->part.proj, fv_prefix_merge(in.prefix, map)); /* [B,N,C] */
}

const fv_mixer fv_mixer_window = {.kind = "window",
                                  .caps = FV_MIXER_PREFIX | FV_MIXER_ANYGRID | FV_MIXER_LINEAR_TIME,
                                  .self_bytes = sizeof(window),
                                  .keys = keys,
                                  .init = init,
                                  .forward = forward};
