/* layer_tree.h - a layer table folded into modules by path: "blocks.0.attn.qkv" is the op or ops of a
 * module in "blocks.0.attn", which is in "blocks.0" ... */
#ifndef FV_MODELS_LAYER_TREE_H
#define FV_MODELS_LAYER_TREE_H

#include "models/layer_table.h"

typedef struct fv_layer_node fv_layer_node;
struct fv_layer_node {
    const char *path;           /* "blocks.0"; "" for the whole model */
    int depth;                  /* dots and one; the model 0 */
    const fv_layer_row *row;    /* a single op; NULL for a module */
    fv_shape output;            /* of the op, or of the module's last */
    int64_t params, kept_bytes; /* sums over everything inside */
    double macs;
    fv_layer_node *first, *last, *next; /* children in the order they first ran; next sibling */
};

/* The tree lives in arena and reads table, which must outlive it.  Errors: FV_ERR_NOMEM. */
fv_status fv_layer_tree_make(const fv_layer_table *table, fv_arena *arena, fv_layer_node **out);

/* The only op of a module that has nothing else, NULL for other modules. */
const fv_layer_row *fv_layer_node_only(const fv_layer_node *module);

#endif
