/* adamw.c - Adam with decoupled weight decay (Loshchilov and Hutter 2019), torch's order of
 * operations; the arithmetic is a kernel (core/kernels/kernels.h). */
#include "core/kernels/kernels.h"
#include "train/optimizer_list.h"

#include <math.h>

static void update(int64_t n, const fv_optimizer_args *a, const float *grad, float *const state[],
                   float *w) {
    const fv_adamw_args args = {.lr = a->lr,
                                .beta1 = a->beta1,
                                .beta2 = a->beta2,
                                .eps = a->eps,
                                .weight_decay = a->weight_decay,
                                .bias1 = 1.0 - pow(a->beta1, (double)a->t),
                                .bias2 = 1.0 - pow(a->beta2, (double)a->t),
                                .grad_scale = a->grad_scale};
    fv_kernel()->adamw(n, &args, grad, state[0], state[1], w);
}

const fv_optimizer_kind fv_optimizer_adamw = {.name = "adamw",
                                              .state = {"exp_avg", "exp_avg_sq"},
                                              .beta1 = 0.9,
                                              .beta2 = 0.999,
                                              .eps = 1e-8,
                                              .update = update};
