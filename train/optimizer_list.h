/* optimizer_list.h - the optimisers: a file <name>.c each with its descriptor, one line here. */
#ifndef FV_TRAIN_OPTIMIZER_LIST_H
#define FV_TRAIN_OPTIMIZER_LIST_H

#include "train/optimizer.h"

#define FV_OPTIMIZER_LIST(X) X(adamw) X(sgd)

/* One update of a run of values that share their settings. */
typedef struct fv_optimizer_args {
    double lr, weight_decay, beta1, beta2, momentum, eps;
    int64_t t;        /* this update's number, from 1 */
    float grad_scale; /* clipping factor */
    bool nesterov;
} fv_optimizer_args;

struct fv_optimizer_kind {
    const char *name;
    const char *state[FV_OPTIMIZER_STATES]; /* names of its state, as torch has them; NULL: none */
    double beta1, beta2, momentum, eps;     /* defaults */
    /* Element by element, in the calling thread; state[] as declared. */
    void (*update)(int64_t n, const fv_optimizer_args *args, const float *grad,
                   float *const state[], float *w);
};

#define FV_X(name) extern const fv_optimizer_kind fv_optimizer_##name;
FV_OPTIMIZER_LIST(FV_X)
#undef FV_X

#endif
