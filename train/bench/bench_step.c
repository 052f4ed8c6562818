#include "train/bench/bench_step.h"

#include "core/alloc.h"
#include "train/bench/bench_common.h"
#include "train/mem_limit.h"

/* Any rate will do: small, so that hundreds of steps on one batch stay finite. */
#define LEARNING_RATE 1e-4

static fv_status make_batch(fv_bench_step *b) {
    b->pixels = fv_bench_pixels(b->model, b->effective_batch, (uint64_t)b->settings->seed);
    b->labels = fv_alloc((size_t)b->effective_batch, sizeof *b->labels);
    if (!b->pixels || !b->labels) return FV_ERR_NOMEM;
    for (int64_t n = 0; n < b->effective_batch; n++)
        b->labels[n] = (int32_t)(n % b->model->num_classes);
    return FV_OK;
}

fv_status fv_bench_step_create(fv_bench_step *b, int64_t pass) {
    const fv_settings *s = b->settings;
    bool emulated;
    size_t mem_limit;

    FV_TRY(fv_mem_limit_parse(s->mem_limit, &mem_limit));
    FV_TRY(fv_precision_resolve(s->precision, &b->bf16, &emulated));
    if (emulated) fv_report_warning(b->report, "bf16 is emulated on this CPU");
    FV_TRY(fv_bench_model(s, true, b->bf16, &b->model));
    b->effective_batch = s->batch_size * s->grad_accum_steps;
    b->image_values = b->model->input.height * b->model->input.width * 3;
    FV_TRY(make_batch(b));

    fv_optimizer_config optimizer;
    fv_optimizer_config_init(&optimizer);
    optimizer.weight_decay = 0.05;
    FV_TRY(fv_optimizer_create(&optimizer, &b->model->params, &b->optimizer));
    FV_TRY(fv_stepper_create(
        &(fv_stepper_config){.model = b->model,
                             .optimizer = b->optimizer,
                             .effective_batch = b->effective_batch,
                             .batch_size =
                                 pass ? pass : fv_stepper_batch_size(b->model, s->batch_size),
                             .seed = (uint64_t)s->seed,
                             .bf16 = b->bf16,
                             .smoothing = 0.1f,
                             .grad_checkpointing = s->grad_checkpointing,
                             .mem_limit = mem_limit},
        &b->stepper));
    return fv_gemm_peak_create(b->bf16, &b->peak);
}

fv_status fv_bench_step_run(void *user, int64_t index) {
    fv_bench_step *b = user;
    const int64_t most = fv_stepper_pass_samples(b->stepper);

    for (int64_t first = 0; first < b->effective_batch; first += most) {
        const int64_t left = b->effective_batch - first;
        FV_TRY(fv_stepper_run(b->stepper,
                              &(fv_stepper_pass){.index = (uint32_t)index,
                                                 .first = first,
                                                 .n = left < most ? left : most,
                                                 .pixels = b->pixels + first * b->image_values,
                                                 .labels = b->labels + first}));
    }
    FV_TRY(fv_stepper_judge(b->stepper, &b->result));
    fv_stepper_commit(b->stepper, LEARNING_RATE, &b->result);
    return FV_OK;
}

void fv_bench_step_destroy(fv_bench_step *b) {
    fv_gemm_peak_destroy(b->peak);
    fv_stepper_destroy(b->stepper);
    fv_optimizer_destroy(b->optimizer);
    fv_model_destroy(b->model);
    fv_free(b->pixels);
    fv_free(b->labels);
    *b = (fv_bench_step){0};
}
