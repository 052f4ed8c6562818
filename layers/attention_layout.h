/* attention_layout.h - how the rows and columns of a layer's attention matrices lie on its map.
 *
 * Attention layers note it on the tape (fv_tape_note), so that whoever reads the recorded weights needs
 * to know no layer.  The weights stand under the layer's scope; their shapes are
 *     FV_ATTENTION_GLOBAL   [B,h,N,N], N = P + H W
 *     FV_ATTENTION_WINDOW   [B,nW,h,n,P+n], n = rows cols, windows and their positions row-major
 *     FV_ATTENTION_HALO     [B,h,nB,bq^2,P+w^2], bq = rows / stride, w = rows + 2 halo, zeros around
 *     FV_ATTENTION_ROUTED   [B,R,h,n,P+k n], n = rows cols: the k regions that the choice [B,R,k] names
 *     FV_ATTENTION_CHANNEL  [B,g,d,d]: channels, no positions
 * with P prefix tokens in front of the keys.  But for GLOBAL the queries of the prefix have a matrix of
 * their own, [B,h,P,P+HW]. */
#ifndef FV_LAYERS_ATTENTION_LAYOUT_H
#define FV_LAYERS_ATTENTION_LAYOUT_H

#include "core/tape.h"

#define FV_ATTENTION_NOTE "attention"

/* name, its name in results */
#define FV_ATTENTION_KIND_LIST(X) \
    X(GLOBAL, "global")           \
    X(WINDOW, "window")           \
    X(HALO, "halo")               \
    X(ROUTED, "routed")           \
    X(CHANNEL, "channel")

typedef enum fv_attention_kind {
#define FV_X(name, text) FV_ATTENTION_##name,
    FV_ATTENTION_KIND_LIST(FV_X)
#undef FV_X
} fv_attention_kind;

typedef struct fv_attention_layout {
    fv_attention_kind kind;
    int64_t heads;      /* or groups of channels */
    int64_t n_prefix;   /* P */
    int64_t H, W;       /* the map, without padding */
    int64_t rows, cols; /* of a window, block or region, in positions of the map */
    int64_t across;     /* windows, blocks or regions side by side */
    int64_t halo;       /* positions around a block */
    int64_t stride;     /* of queries on the map; 0 stands for 1 */
    bool prefix_packed; /* the keys of the prefix's queries are in the order of the windows */
} fv_attention_layout;

/* "global" ... */
const char *fv_attention_kind_name(fv_attention_kind kind);

/* Of the layer that the tape's scope names. */
void fv_attention_layout_note(fv_tape *tape, const fv_attention_layout *layout);

#endif
