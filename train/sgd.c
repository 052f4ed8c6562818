/* sgd.c - stochastic gradient descent with momentum, Nesterov's on request (Sutskever et al. 2013),
 * as torch.optim.SGD: the decay is part of the gradient and the buffer starts as the first one. */
#include "train/optimizer_list.h"

static void update(int64_t n, const fv_optimizer_args *a, const float *grad, float *const state[],
                   float *w) {
    const float lr = (float)a->lr, wd = (float)a->weight_decay, mu = (float)a->momentum;
    float *buf = state[0];

    for (int64_t i = 0; i < n; i++) {
        const float d = a->grad_scale * grad[i] + wd * w[i];
        buf[i] = a->t == 1 ? d : mu * buf[i] + d;
        w[i] -= lr * (a->nesterov ? d + mu * buf[i] : buf[i]);
    }
}

const fv_optimizer_kind fv_optimizer_sgd = {
    .name = "sgd", .state = {"momentum_buffer"}, .momentum = 0.9, .update = update};
