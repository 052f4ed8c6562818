#include "layers/prefix_attention.h"

fv_prefix_parts fv_prefix_split(fv_var *x, int64_t n_prefix, int64_t H, int64_t W) {
    fv_var *grid = n_prefix ? fv_slice_tokens(x, n_prefix, H * W) : x; /* [B,HW,C] */
    return (fv_prefix_parts){.prefix = n_prefix ? fv_slice_tokens(x, 0, n_prefix) : NULL,
                             .map = fv_tokens_to_map(grid, H, W)};
}

fv_var *fv_prefix_merge(fv_var *prefix, fv_var *map) {
    fv_var *grid = fv_map_to_tokens(map); /* [B,HW,C] */
    return prefix ? fv_join_prefix(prefix, grid) : grid;
}

fv_var *fv_prefix_attention(fv_var *qkv, int64_t n_prefix, int64_t heads, float scale) {
    const char *outer = fv_tape_scope_child(qkv->tape, "prefix"); /* its taps are not the grid's */
    fv_var *y = fv_attention_queries(qkv, heads, scale, 0, n_prefix);

    fv_tape_scope(qkv->tape, outer);
    return y;
}
