/* attention_record.h - the attention weights of a recorded EXPLAIN pass, as matrices over positions.
 *
 * Layers note how the rows and columns of their weights lie on their map (attention_layout.h); from that
 * a record lists every attention of the network in order and gives each row with the positions of its
 * query and keys.  Positions count prefix tokens first, then the map row-major.
 *
 * A window, halo or routed attention is a global one with zeros outside of the keys it looks at.  What
 * lies on padding is left out: queries there have no row, keys there no column, so that the rows of
 * windows at the edge of a padded map, and of halo windows that reach over the edge (where zeros are keys
 * like others), add up to less than 1; the rest is the share of attention spent on nothing. */
#ifndef FV_EVAL_SALIENCY_ATTENTION_RECORD_H
#define FV_EVAL_SALIENCY_ATTENTION_RECORD_H

#include "core/arena.h"
#include "layers/attention_layout.h"

typedef struct fv_attention_matrix {
    const char *path;         /* of the layer: "blocks.3.attn" */
    const char *weights_name; /* tap of the weights: "blocks.3.attn.weights" */
    const char *prefix_name;  /* likewise of the prefix; NULL without */
    fv_attention_layout layout;
    const fv_var *weights, *prefix; /* prefix: those of its own queries, NULL without */
    const int32_t *routing;         /* [B,R,k] regions; NULL unless routed */
    int64_t n_chosen;               /* k */
    int64_t B, heads;
    int64_t query_h, query_w;  /* map of the queries */
    int64_t n_queries, n_keys; /* positions: P + query_h query_w, P + H W; 0 of channels */
    int64_t n_rows;            /* per sample and head, those of padding included */
    int64_t *keys;             /* room for the longest row, shared by the record */
} fv_attention_matrix;

typedef struct fv_attention_record {
    fv_attention_matrix *item; /* [count], in the order of the network */
    int64_t count;
} fv_attention_record;

/* Registers the watches, before the pass is recorded: any of FV_WATCH_*. */
fv_status fv_attention_watch(fv_tape *tape, uint32_t what);

/* Of the recorded pass, in arena; borrows from the tape.  FV_ERR_INTERNAL: weights of another shape than
 * their layer says, or not watched. */
fv_status fv_attention_record_read(const fv_tape *tape, fv_arena *arena, fv_attention_record *out);

/* Whether keys and queries are the positions of one map. */
bool fv_attention_is_square(const fv_attention_matrix *a);

/* One row of weights. */
typedef struct fv_attention_row {
    int64_t query;       /* its position, -1: padding */
    int64_t n;           /* keys */
    const int64_t *key;  /* [n], their positions, -1: padding; valid until the record's next row */
    const float *weight; /* [n] */
    const float *grad;   /* [n]; NULL when no gradient was recorded */
    const float *relevance; /* [n]; NULL likewise */
} fv_attention_row;

/* Row 0 <= row < n_rows of a head; not of channels. */
fv_attention_row fv_attention_row_at(const fv_attention_matrix *a, int64_t sample, int64_t head,
                                     int64_t row);

/* What a matrix over positions is filled with, from a weight, its gradient and relevance. */
typedef enum fv_attention_value {
    FV_ATTENTION_WEIGHT,   /* A */
    FV_ATTENTION_GRADIENT, /* dA */
    FV_ATTENTION_POSITIVE, /* max(A dA, 0) */
    FV_ATTENTION_RELEVANT  /* max(R_A dA, 0), R_A the relevance that reached A */
} fv_attention_value;

/* One head as a matrix over positions, out [n_queries,n_keys].  Not of channels. */
void fv_attention_dense(const fv_attention_matrix *a, int64_t sample, int64_t head,
                        fv_attention_value value, float *out);

/* Over heads. */
#define FV_ATTENTION_FUSE_LIST(X) X(mean) X(max) X(min)
typedef enum fv_attention_fuse {
#define FV_X(name) FV_ATTENTION_FUSE_##name,
    FV_ATTENTION_FUSE_LIST(FV_X)
#undef FV_X
} fv_attention_fuse;

/* All heads as one matrix; scratch [n_queries,n_keys]. */
void fv_attention_fused(const fv_attention_matrix *a, int64_t sample, fv_attention_value value,
                        fv_attention_fuse fuse, float *scratch, float *out);

#endif
