/* model_run.h - what a test of a network needs: the model, a tape, images of normal numbers, passes with
 * the mean cross entropy of labels 0, 1, 2 ... as their loss. */
#ifndef FV_TESTS_SUPPORT_MODEL_RUN_H
#define FV_TESTS_SUPPORT_MODEL_RUN_H

#include "models/model.h"

typedef struct model_run {
    fv_arena arena; /* images, documents */
    fv_model *model;
    fv_tape *tape;
} model_run;

/* One thread unless a test is about threads.  Aborts when something fails, like the others below. */
void model_run_open(model_run *r);
void model_run_close(model_run *r);

/* A document for kwargs and groups; its file is called name.yaml after `name`. */
const fv_value *model_run_yaml(model_run *r, const char *name, const char *text);

/* Builds the model with gradients and draws its values, in place of the one before. */
void model_run_create(model_run *r, const fv_model_config *config);

/* Images first .. first + n - 1 of an endless batch. */
fv_tensor model_run_pixels(model_run *r, int64_t first, int64_t n);

/* Logits of n images from step->first_sample on, kept. */
fv_var *model_run_forward(model_run *r, const fv_step *step, int64_t n);

/* Forward and backward of n images; losses [n]. */
const float *model_run_pass(model_run *r, const fv_step *step, int64_t n);

/* Mean loss of one batch before the first and after the last of some steps of plain descent, running
 * statistics included. */
typedef struct model_run_losses {
    float first, last;
} model_run_losses;
model_run_losses model_run_descend(model_run *r, const fv_step *step, int64_t n, int steps,
                                   float rate);

/* NULL when a model's parameters and buffers are the lines "param|buffer NAME DxDx..." of
 * tests/golden/params/<list>.txt, else what differs (in the arena). */
const char *model_run_compare_list(model_run *r, const char *name, const char *list);

#endif
