/* prefix_attention.h - prefix tokens (class token, registers) beside a mixer that works on the grid: the
 * `dense` policy.  Grid queries see the keys the mixer chose and all prefix tokens inside one softmax;
 * prefix queries see all tokens.
 *
 * A mixer takes its tokens apart, projects prefix and grid together (a parameter is read once), joins the
 * prefix to its keys with fv_join_prefix, and puts both updates together again. */
#ifndef FV_LAYERS_PREFIX_ATTENTION_H
#define FV_LAYERS_PREFIX_ATTENTION_H

#include "core/ops.h"

/* x [B,P+HW,C] -> prefix [B,P,C] (NULL when P is 0) and map [B,H,W,C]. */
typedef struct fv_prefix_parts {
    fv_var *prefix, *map;
} fv_prefix_parts;
fv_prefix_parts fv_prefix_split(fv_var *x, int64_t n_prefix, int64_t H, int64_t W);

/* The inverse: -> [B,P+HW,C]; of map alone when prefix is NULL. */
fv_var *fv_prefix_merge(fv_var *prefix, fv_var *map);

/* Update of the prefix queries.  qkv [B,P+M,3C]: packed projections of the prefix and of the M grid
 * tokens, in any order -> [B,P,C]. */
fv_var *fv_prefix_attention(fv_var *qkv, int64_t n_prefix, int64_t heads, float scale);

#endif
