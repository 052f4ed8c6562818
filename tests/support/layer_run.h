/* layer_run.h - what a test of a layer needs: parameters, a tape and inputs of normal numbers. */
#ifndef FV_TESTS_SUPPORT_LAYER_RUN_H
#define FV_TESTS_SUPPORT_LAYER_RUN_H

#include "core/ops.h"
#include "layers/scope.h"

typedef struct layer_run {
    fv_arena arena; /* parameters, inputs */
    fv_params params;
    fv_tape *tape;
} layer_run;

/* Aborts the test when memory runs out, like the others below. */
void layer_run_open(layer_run *r);
void layer_run_close(layer_run *r);

fv_scope layer_run_scope(layer_run *r, const char *path);

/* After the declarations: allocates values (with gradients) and draws them.  Everything that starts
 * at 0 or 1 is moved off it, so that no parameter is without effect. */
void layer_run_ready(layer_run *r);

/* Starts a step and returns an input that wants a gradient; the same numbers for the same shape. */
fv_var *layer_run_begin(layer_run *r, const fv_step *step, fv_shape shape);

/* Value i of a parameter. */
float layer_run_value(const layer_run *r, const char *name, int64_t i);

#endif
