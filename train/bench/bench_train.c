#include "train/bench/bench_train.h"

#include "train/bench/bench_common.h"
#include "train/bench/bench_step.h"

static fv_status run(fv_bench_step *b, fv_arena *arena, fv_value *out) {
    fv_model_cost cost;
    double seconds;

    FV_TRY(fv_bench_step_create(b, 0));
    FV_TRY(fv_model_cost_of(b->model, &cost));
    FV_TRY(fv_bench_time(&(fv_bench_steps){.step = fv_bench_step_run,
                                           .user = b,
                                           .warmup = b->settings->warmup,
                                           .steps = b->settings->steps,
                                           .peak = b->peak,
                                           .report = b->report},
                         &seconds));
    fv_bench_write_rate(&(fv_bench_rate){.images = (double)b->effective_batch,
                                         .seconds = seconds,
                                         .gflops_per_image = 3.0 * 2.0 * cost.macs * 1e-9,
                                         .peak_gflops = fv_gemm_peak_gflops(b->peak),
                                         .bf16 = b->bf16},
                        arena, out);
    fv_value_set(arena, out, "loss", fv_value_real(arena, b->result.loss));
    return FV_OK;
}

fv_status fv_bench_train(const fv_settings *settings, const fv_report *report, fv_arena *arena,
                         fv_value *out) {
    fv_bench_step b = {.settings = settings, .report = report};

    const fv_status status = run(&b, arena, out);
    fv_bench_step_destroy(&b);
    return status;
}
