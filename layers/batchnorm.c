#include "layers/batchnorm.h"

#define EPS      1e-5f
#define MOMENTUM 0.1f

fv_status fv_batchnorm_layer_init(fv_batchnorm_layer *m, fv_scope scope, int64_t dim) {
    const fv_shape channels = fv_shape_of(1, dim);
    const fv_init zeros = {FV_INIT_ZEROS, 0.0f}, ones = {FV_INIT_ONES, 0.0f};

    *m = (fv_batchnorm_layer){.path = scope.path, .stats = {.eps = EPS, .momentum = MOMENTUM}};
    FV_TRY(fv_scope_param(scope, "weight", channels, ones, &m->weight));
    FV_TRY(fv_scope_param(scope, "bias", channels, zeros, &m->bias));
    FV_TRY(fv_scope_buffer(scope, "running_mean", channels, zeros, &m->stats.mean));
    FV_TRY(fv_scope_buffer(scope, "running_var", channels, ones, &m->stats.var));
    FV_TRY(fv_scope_buffer(scope, "num_batches_tracked", (fv_shape){0}, zeros, &m->stats.batches));
    m->stats.batches->flags |= FV_PARAM_I64;
    return FV_OK;
}

/* fv_batchnorm or fv_batchnorm_relu */
typedef fv_var *norm_fn(fv_var *x, fv_var *gamma, fv_var *beta, const fv_batchnorm_stats *stats,
                        fv_dtype out);

static fv_var *apply(norm_fn *norm, const fv_batchnorm_layer *m, fv_var *x, fv_dtype out) {
    fv_tape *tape = x->tape;
    const char *outer = fv_tape_scope(tape, m->path);
    fv_var *y = norm(x, fv_param_var(tape, m->weight), fv_param_var(tape, m->bias), &m->stats, out);

    fv_tape_scope(tape, outer);
    return y;
}

fv_var *fv_batchnorm_layer_forward(const fv_batchnorm_layer *m, fv_var *x) {
    return fv_batchnorm_layer_forward_to(m, x, x->dtype);
}

fv_var *fv_batchnorm_layer_forward_to(const fv_batchnorm_layer *m, fv_var *x, fv_dtype out) {
    return fv_tap(apply(fv_batchnorm, m, x, out), m->path);
}

fv_var *fv_batchnorm_layer_activate(const fv_batchnorm_layer *m, fv_var *x,
                                    fv_activation_kind act) {
    const fv_dtype out = fv_product_dtype(x->tape);

    if (act == FV_RELU && fv_tape_step(x->tape)->mode != FV_EXPLAIN)
        return apply(fv_batchnorm_relu, m, x, out);
    return fv_activation(fv_batchnorm_layer_forward(m, x), act, out);
}
