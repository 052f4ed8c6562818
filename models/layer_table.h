/* layer_table.h - a model's ops in the order they run, with what each costs, from a dry run. */
#ifndef FV_MODELS_LAYER_TABLE_H
#define FV_MODELS_LAYER_TABLE_H

#include "models/model.h"

typedef struct fv_layer_row {
    const char *name; /* path of the layer; at top level its first parameter's name, or "" */
    const char *op;
    fv_shape output; /* for one image */
    int64_t params;  /* trainable values that the op reads */
    double macs;
    int64_t
        kept_bytes; /* what a training step keeps of the result for backward, and saves beside it */
} fv_layer_row;

typedef struct fv_layer_table {
    fv_layer_row *row; /* in the arena; names belong to the model and the op list */
    int64_t count;
} fv_layer_table;

/* Of the fused ops of FV_TRAIN in f32, for one image.  Errors: what the forward pass gives, FV_ERR_NOMEM. */
fv_status fv_layer_table_make(const fv_model *model, fv_arena *arena, fv_layer_table *out);

#endif
