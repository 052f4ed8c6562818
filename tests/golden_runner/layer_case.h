/* layer_case.h - kinds of cases of layers.safetensors.  A family has its file with a table of kinds, and
 * its line in case_layers.c, which runs them. */
#ifndef FV_TESTS_LAYER_CASE_H
#define FV_TESTS_LAYER_CASE_H

#include "core/tape.h"
#include "core/value.h"
#include "layers/scope.h"
#include "tests/golden_runner/golden.h"

typedef struct layer_case {
    golden *g;
    const char *name;
    const fv_value *meta;
    fv_params params;
    fv_tape *tape;
    fv_shape x_shape, y_shape, stored_x, stored_y; /* stored: as in the file */
    const struct layer_kind *kind;
} layer_case;

/* Which tensors are NCHW in the file. */
enum { X_NCHW = 1, Y_NCHW = 2, MAPS = X_NCHW | Y_NCHW };

/* A kind of case: declares its parameters, then records its forward pass. */
typedef struct layer_kind {
    const char *name;
    int nchw;
    bool running_stats; /* of the step */
    fv_status (*init)(layer_case *c, fv_scope scope);
    fv_var *(*forward)(layer_case *c, fv_var *x);
} layer_kind;

/* A number of the case's settings, 0 when it is not there. */
int64_t layer_case_int(const layer_case *c, const char *key);

/* Each ends with a kind without name. */
extern const layer_kind layer_kinds_davit[], layer_kinds_biformer[];

#endif
