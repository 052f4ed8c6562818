/* scope.h - where a layer declares its parameters: the list and the path in front of their names.
 *
 * A layer keeps its path: its forward pass sets it as the tape's scope, so that failures and ledgers
 * name the layer, and taps its output under it ("blocks.0.norm1"). */
#ifndef FV_LAYERS_SCOPE_H
#define FV_LAYERS_SCOPE_H

#include "core/param.h"

/* fv_scope_child(blocks, "0.attn") declares under "blocks.0.attn".  Passed by value; path belongs to
 * the model's arena.  A failed allocation makes every later declaration through the scope fail. */
typedef struct fv_scope {
    fv_params *params;
    const char *path; /* "" at the top; NULL after a failed allocation */
} fv_scope;

fv_scope fv_scope_child(fv_scope scope, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Declares "path.name".  Errors: what fv_params_status says, FV_ERR_NOMEM. */
fv_status fv_scope_param(fv_scope scope, const char *name, fv_shape shape, fv_init init,
                         fv_param **out);

/* The same for a buffer: saved and loaded, without gradient. */
fv_status fv_scope_buffer(fv_scope scope, const char *name, fv_shape shape, fv_init init,
                          fv_param **out);

#endif
