/* One step on the image's own loss, and the way back. */
#include "eval/saliency/meta_step.h"

#include "core/alloc.h"
#include "tests/support/approx.h"
#include "tests/support/model_run.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#define TARGET 3

static model_run r;
static fv_explain_run run;
static fv_tensor pixels;
static float *before; /* the values */

static void open_model(const char *name, double drop_path) {
    const fv_model_config config = {.name = name, .drop_path = drop_path};
    static const fv_saliency_choice choice = {.text = "test"};

    model_run_open(&r);
    model_run_create(&r, &config);
    pixels = model_run_pixels(&r, 0, 1);
    run = (fv_explain_run){.tape = r.tape,
                           .model = r.model,
                           .choice = &choice,
                           .H = r.model->input.height,
                           .W = r.model->input.width,
                           .K = r.model->num_classes,
                           .max_images = 1};
    before = fv_alloc((size_t)r.model->params.slab_numel, sizeof *before);
    cr_assert_not_null(before);
    memcpy(before, r.model->params.value.base, (size_t)r.model->params.slab_numel * sizeof *before);
}

static void close_model(void) {
    fv_free(before);
    model_run_close(&r);
}

static bool as_before(void) {
    return approx_same(r.model->params.slab_numel, r.model->params.value.base, before);
}

static double probability(void) {
    float logits[64];

    cr_assert_leq(run.K, 64);
    cr_assert_eq(fv_explain_logits(&run, pixels.data, 1, logits), FV_OK, "%s", fv_error_message());
    double sum = 0.0;
    for (int64_t k = 0; k < run.K; k++) sum += exp((double)(logits[k] - logits[TARGET]));
    return 1.0 / sum;
}

static fv_status look(fv_explain_run *unused, void *arg) {
    (void)unused;
    cr_expect_not(as_before());
    *(double *)arg = probability();
    return FV_OK;
}

static fv_status fail(fv_explain_run *unused, void *arg) {
    (void)unused;
    (void)arg;
    cr_expect_not(as_before());
    return FV_FAIL(FV_ERR_UNSUPPORTED, "on purpose");
}

static void check_model(const char *name) {
    double down = 0.0, up = 0.0;

    open_model(name, 0.0);
    const double now = probability();
    cr_assert_eq(fv_meta_step(&run, pixels.data, TARGET, 1e-3, look, &down), FV_OK, "%s",
                 fv_error_message());
    cr_expect(as_before(), "%s", name);
    cr_assert_eq(fv_meta_step(&run, pixels.data, TARGET, -1e-3, look, &up), FV_OK, "%s",
                 fv_error_message());
    cr_expect(as_before(), "%s", name);
    cr_expect_gt(down, now, "%s", name); /* descent makes the class more likely */
    cr_expect_lt(up, now, "%s", name);
    cr_expect_eq(probability(), now, "%s", name);
    close_model();
}

Test(eval_meta_step, descends_climbs_and_restores) {
    check_model("mini_vit");
    check_model("mini_davit_even");
    check_model("mini_biformer");
    check_model("mini_halonet_h1"); /* running statistics of batch norms stay too */
}

Test(eval_meta_step, restores_after_a_failure) {
    open_model("mini_vit", 0.0);
    cr_expect_eq(fv_meta_step(&run, pixels.data, TARGET, 1e-3, fail, NULL), FV_ERR_UNSUPPORTED);
    cr_expect(as_before());
    fv_params_find(&r.model->params, "head.bias")->value[2] = NAN;
    memcpy(before, r.model->params.value.base, (size_t)r.model->params.slab_numel * sizeof *before);
    cr_expect_eq(fv_meta_step(&run, pixels.data, TARGET, 1e-3, fail, NULL), FV_ERR_NONFINITE);
    cr_expect_eq(memcmp(before, r.model->params.value.base,
                        (size_t)r.model->params.slab_numel * sizeof *before),
                 0);
    close_model();
}

/* theta - lr * gradient, to two roundings; buffers stay. */
static fv_status compare(fv_explain_run *unused, void *arg) {
    const fv_params *params = &r.model->params;
    const double lr = *(const double *)arg;

    (void)unused;
    for (int64_t i = 0; i < params->count; i++) {
        const fv_param *p = params->item[i];
        double worst = 0.0; /* of both terms */
        for (int64_t k = 0; k < p->numel; k++) {
            const double old = (double)before[p->offset + k];
            const double step = p->grad ? lr * (double)p->grad[k] : 0.0;
            const double error = fabs((double)p->value[k] - (old - step));
            worst = fmax(worst, error / (fabs(old) + fabs(step) + 1e-30));
        }
        cr_expect_leq(worst, p->grad ? 1.2e-7 : 0.0, "%s: %g", p->name, worst);
    }
    return FV_OK;
}

Test(eval_meta_step, is_plain_descent_on_every_parameter) {
    double lr = 0.5;

    open_model("mini_halonet_h1", 0.0);
    cr_assert_eq(fv_meta_step(&run, pixels.data, TARGET, lr, compare, &lr), FV_OK, "%s",
                 fv_error_message());
    close_model();
}

Test(eval_meta_step, stochastic_depth_is_refused) {
    open_model("mini_vit", 0.1);
    cr_expect_eq(fv_meta_step(&run, pixels.data, TARGET, 1e-3, fail, NULL), FV_ERR_CONFIG);
    close_model();
}
