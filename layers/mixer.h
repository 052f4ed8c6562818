/* mixer.h - the common interface of token mixers: attention and what may stand in for it.
 *
 * A mixer maps normalised tokens to an update of the same shape; the block adds it.  It is written with
 * ops, so gradient, relevance and memory come from the tape.  One const descriptor per kind in its own
 * file, one line in mixer_list.h. */
#ifndef FV_LAYERS_MIXER_H
#define FV_LAYERS_MIXER_H

#include "core/tape.h"
#include "core/value.h"
#include "layers/scope.h"

/* capability bits */
#define FV_MIXER_CAUSAL       (1u << 0)
#define FV_MIXER_CROSS        (1u << 1)
#define FV_MIXER_PREFIX       (1u << 2) /* takes prefix tokens */
#define FV_MIXER_ANYGRID      (1u << 3) /* any grid size */
#define FV_MIXER_ATTNMAP      (1u << 4) /* an effective N x N matrix exists and is tapped as "attn" */
#define FV_MIXER_STATEFUL     (1u << 5)
#define FV_MIXER_STOCHASTIC   (1u << 6)
#define FV_MIXER_AUXLOSS      (1u << 7)
#define FV_MIXER_LINEAR_TIME  (1u << 8)
#define FV_MIXER_NO_TOKEN_MIX (1u << 9)

/* What a mixer works on: B samples, N = prefix + grid_h * grid_w tokens of C channels. */
typedef struct fv_mixer_shape {
    int64_t n_tokens, n_prefix, grid_h, grid_w, dim, heads;
} fv_mixer_shape;

typedef struct fv_mixer {
    const char *kind;
    unsigned caps;
    size_t self_bytes;
    /* Declares parameters under scope, checks the keys of cfg (the attention.* group, may be NULL). */
    fv_status (*init)(void *self, fv_scope scope, fv_value *cfg, const fv_mixer_shape *shape);
    fv_var *(*forward)(const void *self, fv_var *x); /* [B,N,C] -> update [B,N,C] */
} fv_mixer;

/* NULL: unknown kind. */
const fv_mixer *fv_mixer_find(const char *kind);
const fv_mixer *fv_mixer_at(int i); /* in list order, NULL after the last */

#endif
