#include "layers/scope.h"

#include <stdarg.h>
#include <stdio.h>

#define NAME_BYTES 256

fv_scope fv_scope_child(fv_scope scope, const char *format, ...) {
    char name[NAME_BYTES];
    va_list args;

    if (!scope.path) return scope;
    va_start(args, format);
    const int n = vsnprintf(name, sizeof name, format, args);
    va_end(args);
    if (n < 0 || n >= NAME_BYTES) {
        FV_FAIL(FV_ERR_INTERNAL, "layer name '%s...' is too long", name);
        scope.path = NULL;
    } else {
        scope.path = scope.path[0] ? fv_arena_printf(scope.params->arena, "%s.%s", scope.path, name)
                                   : fv_arena_strdup(scope.params->arena, name);
    }
    return scope;
}

typedef fv_param *declare_fn(fv_params *params, const char *name, fv_shape shape, fv_init init);

static fv_status declare(declare_fn *fn, fv_scope scope, const char *name, fv_shape shape,
                         fv_init init, fv_param **out) {
    char full[NAME_BYTES];

    *out = NULL;
    if (!scope.path) return FV_FAIL(FV_ERR_NOMEM, "parameter '%s' has no path", name);
    const int n = snprintf(full, sizeof full, "%s%s%s", scope.path, scope.path[0] ? "." : "", name);
    if (n < 0 || n >= NAME_BYTES)
        return FV_FAIL(FV_ERR_INTERNAL, "parameter name '%s...' is too long", full);
    *out = fn(scope.params, full, shape, init);
    return fv_params_status(scope.params);
}

fv_status fv_scope_param(fv_scope scope, const char *name, fv_shape shape, fv_init init,
                         fv_param **out) {
    return declare(fv_params_add, scope, name, shape, init, out);
}

fv_status fv_scope_buffer(fv_scope scope, const char *name, fv_shape shape, fv_init init,
                          fv_param **out) {
    return declare(fv_params_add_buffer, scope, name, shape, init, out);
}
