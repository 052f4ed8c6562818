/* mixer.h - the common interface of token mixers: attention and what may stand in for it.
 *
 * A mixer maps normalised tokens to an update of the same shape; the block adds it.  It is written with
 * ops, so gradient, relevance, memory and cost come from the tape.  One const descriptor per kind in
 * its own file, one line in mixer_list.h. */
#ifndef FV_LAYERS_MIXER_H
#define FV_LAYERS_MIXER_H

#include "core/tape.h"
#include "core/value.h"
#include "layers/scope.h"

/* capability bits */
#define FV_MIXER_CAUSAL  (1u << 0)
#define FV_MIXER_CROSS   (1u << 1)
#define FV_MIXER_PREFIX  (1u << 2) /* takes prefix tokens */
#define FV_MIXER_ANYGRID (1u << 3) /* any grid size */
#define FV_MIXER_ATTNMAP \
    (1u << 4) /* an effective N x N matrix exists and is tapped as "<path>.weights" */
#define FV_MIXER_STATEFUL     (1u << 5)
#define FV_MIXER_STOCHASTIC   (1u << 6)
#define FV_MIXER_AUXLOSS      (1u << 7)
#define FV_MIXER_LINEAR_TIME  (1u << 8)
#define FV_MIXER_NO_TOKEN_MIX (1u << 9)

/* What a mixer works on: N = n_prefix + grid_h * grid_w tokens of dim channels. */
typedef struct fv_mixer_shape {
    int64_t n_tokens, n_prefix, grid_h, grid_w, dim;
    int64_t heads;            /* the backbone's; attention.heads goes before it */
    bool qkv_bias, proj_bias; /* likewise */
    const char *kind;         /* the backbone's own mixer for this block; NULL: mhsa */
    int64_t window;           /* side of the backbone's windows in grid tokens, 0: it has none */
    int64_t stage, layer;     /* where the block stands, from 0 (mixer_config.h) */
} fv_mixer_shape;

typedef struct fv_mixer {
    const char *kind;
    unsigned caps;
    size_t self_bytes;
    const char *const
        *keys; /* of the attention.* group it understands, "kind" first, those of its own
                                group as "window.size"; NULL ends */
    /* Declares parameters under scope and reads its keys of cfg (may be NULL; fv_value_get_map finds
     * the own group).  FV_ERR_CONFIG names the key and the rule.  self is zeroed. */
    fv_status (*init)(void *self, fv_scope scope, fv_value *cfg, const fv_mixer_shape *shape);
    fv_var *(*forward)(const void *self, fv_var *x); /* [B,N,C] -> update [B,N,C] */
} fv_mixer;

/* NULL: unknown kind. */
const fv_mixer *fv_mixer_find(const char *kind);
const fv_mixer *fv_mixer_at(int i); /* in list order, NULL after the last */

/* A mixer with its state, as a block holds it. */
typedef struct fv_mixer_layer {
    const char *path;
    const fv_mixer *mixer;
    void *self; /* in the model's arena */
} fv_mixer_layer;

/* The mixer that attention (the attention.* group, may be NULL) asks for at shape's stage and layer,
 * else the backbone's.  Keys that no block of a model understands are found by fv_mixer_config_check
 * after its last block. */
fv_status fv_mixer_layer_init(fv_mixer_layer *m, fv_scope scope, fv_value *attention,
                              const fv_mixer_shape *shape);

/* x [B,N,C] -> update [B,N,C], tapped under the layer's path. */
fv_var *fv_mixer_layer_forward(const fv_mixer_layer *m, fv_var *x);

#endif
