#include "train/bench/bench_train.h"

#include "core/alloc.h"
#include "core/clock.h"
#include "core/parallel.h"
#include "train/bench/bench_common.h"
#include "train/bench/gemm_peak.h"
#include "train/stepper.h"

/* Any rate will do: small, so that hundreds of steps on one batch stay finite. */
#define LEARNING_RATE 1e-4

typedef struct bench {
    const fv_settings *settings;
    const fv_report *report;
    fv_model *model;
    fv_optimizer *optimizer;
    fv_stepper *stepper;
    fv_gemm_peak *peak;
    float *pixels;
    int32_t *labels;
    double *seconds; /* [steps] */
    int64_t effective_batch, image_values;
    bool bf16;
} bench;

static fv_status make_batch(bench *b) {
    b->pixels = fv_bench_pixels(b->model, b->effective_batch, (uint64_t)b->settings->seed);
    b->labels = fv_alloc((size_t)b->effective_batch, sizeof *b->labels);
    b->seconds = fv_alloc((size_t)b->settings->steps, sizeof *b->seconds);
    if (!b->pixels || !b->labels || !b->seconds) return FV_ERR_NOMEM;
    for (int64_t n = 0; n < b->effective_batch; n++)
        b->labels[n] = (int32_t)(n % b->model->num_classes);
    return FV_OK;
}

static fv_status set_up(bench *b) {
    const fv_settings *s = b->settings;
    bool emulated;

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
    FV_TRY(fv_stepper_create(&(fv_stepper_config){.model = b->model,
                                                  .optimizer = b->optimizer,
                                                  .effective_batch = b->effective_batch,
                                                  .batch_size = s->batch_size,
                                                  .seed = (uint64_t)s->seed,
                                                  .bf16 = b->bf16,
                                                  .smoothing = 0.1f},
                             &b->stepper));
    return fv_gemm_peak_create(b->bf16, &b->peak);
}

static fv_status step(bench *b, int64_t index, fv_stepper_result *result) {
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
    FV_TRY(fv_stepper_judge(b->stepper, result));
    fv_stepper_commit(b->stepper, LEARNING_RATE, result);
    return FV_OK;
}

/* Steps and products take turns, so that both see the same clock rates and neighbours. */
static fv_status measure(bench *b, double *loss) {
    const fv_settings *s = b->settings;
    fv_stepper_result result = {0};

    for (int64_t i = 0; i < s->warmup + s->steps; i++) {
        if (fv_report_stop(b->report)) return FV_FAIL(FV_ERR_INTERRUPTED, "interrupted");
        const double start = fv_clock_seconds();
        FV_TRY(step(b, i, &result));
        if (i >= s->warmup) b->seconds[i - s->warmup] = fv_clock_seconds() - start;
        FV_TRY(fv_gemm_peak_measure(b->peak));
    }
    *loss = result.loss;
    return FV_OK;
}

static fv_status run(bench *b, fv_arena *arena, fv_value *out) {
    fv_model_cost cost;
    double loss;

    FV_TRY(set_up(b));
    FV_TRY(fv_model_cost_of(b->model, &cost));
    FV_TRY(measure(b, &loss));
    const double seconds = fv_bench_median(b->seconds, b->settings->steps);
    const double rate = (double)b->effective_batch / seconds;
    const double gflops = 3.0 * 2.0 * cost.macs * 1e-9;
    const double peak = fv_gemm_peak_gflops(b->peak);
    const struct {
        const char *key;
        double value;
    } reals[] = {{"images_per_second", rate},
                 {"gemm_peak_gflops", peak},
                 {"model_gflops_per_image", gflops},
                 {"mfu", rate * gflops / peak},
                 {"peak_rss_mb", fv_bench_peak_rss_mb()},
                 {"step_seconds", seconds},
                 {"loss", loss}};

    for (size_t i = 0; i < sizeof reals / sizeof *reals; i++)
        fv_value_set(arena, out, reals[i].key, fv_value_real(arena, reals[i].value));
    fv_value_set(arena, out, "threads", fv_value_int(arena, fv_threads()));
    fv_value_set(arena, out, "precision", fv_value_string(arena, b->bf16 ? "bf16" : "f32"));
    return FV_OK;
}

fv_status fv_bench_train(const fv_settings *settings, const fv_report *report, fv_arena *arena,
                         fv_value *out) {
    bench b = {.settings = settings, .report = report};

    const fv_status status = run(&b, arena, out);
    fv_gemm_peak_destroy(b.peak);
    fv_stepper_destroy(b.stepper);
    fv_optimizer_destroy(b.optimizer);
    fv_model_destroy(b.model);
    fv_free(b.pixels);
    fv_free(b.labels);
    fv_free(b.seconds);
    return status;
}
