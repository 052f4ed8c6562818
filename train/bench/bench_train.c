#include "train/bench/bench_train.h"

#include "train/bench/bench_common.h"
#include "train/bench/bench_ops.h"
#include "train/bench/bench_step.h"

static fv_status run(fv_bench_step *b, fv_arena *arena, fv_value *out) {
    FV_TRY(fv_bench_step_create(b, 0));
    FV_TRY(fv_bench_rate(&(fv_bench_steps){.settings = b->settings,
                                           .report = b->report,
                                           .model = b->model,
                                           .peak = b->peak,
                                           .bf16 = b->bf16,
                                           .step = fv_bench_step_run,
                                           .user = b,
                                           .images = b->effective_batch,
                                           .forwards = 3.0},
                         arena, out));
    int64_t blocks;
    const int64_t recomputed = fv_stepper_recomputed(b->stepper, &blocks);
    fv_value_set(arena, out, "blocks", fv_value_int(arena, blocks));
    fv_value_set(arena, out, "recomputed_blocks", fv_value_int(arena, recomputed));
    fv_value_set(arena, out, "loss", fv_value_real(arena, b->result.loss));
    return b->settings->profile ? fv_bench_ops_profile(b, arena, out) : FV_OK;
}

fv_status fv_bench_train(const fv_settings *settings, const fv_report *report, fv_arena *arena,
                         fv_value *out) {
    fv_bench_step b = {.settings = settings, .report = report};

    const fv_status status = run(&b, arena, out);
    fv_bench_step_destroy(&b);
    return status;
}
