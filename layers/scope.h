/* scope.h - where a layer declares its parameters: the list and the path in front of their names. */
#ifndef FV_LAYERS_SCOPE_H
#define FV_LAYERS_SCOPE_H

#include "core/param.h"

/* fv_scope_child(blocks, "0.attn") declares under "blocks.0.attn".  Passed by value; path belongs to
 * the model's arena.  A failed allocation makes every later declaration through the scope fail. */
typedef struct fv_scope {
    fv_params *params;
    const char *path; /* "" at the top */
} fv_scope;

fv_scope fv_scope_child(fv_scope scope, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Declares "path.name". */
fv_status fv_scope_param(fv_scope scope, const char *name, fv_shape shape, fv_param_init init,
                         fv_param **out);

#endif
