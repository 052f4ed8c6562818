/* bench_step.h - training updates on a batch that lies in memory, by the trainer's own stepper (forward,
 * backward, clipping, optimiser), without loading: what bench train and bench ops measure. */
#ifndef FV_TRAIN_BENCH_BENCH_STEP_H
#define FV_TRAIN_BENCH_BENCH_STEP_H

#include "core/report.h"
#include "core/settings.h"
#include "train/bench/gemm_peak.h"
#include "train/stepper.h"

/* Start with {.settings, .report} and end with fv_bench_step_destroy, also after a failure. */
typedef struct fv_bench_step {
    const fv_settings *settings;
    const fv_report *report; /* may be NULL */
    fv_model *model;
    fv_optimizer *optimizer;
    fv_stepper *stepper;
    fv_gemm_peak *peak;
    float *pixels;
    int32_t *labels;
    fv_stepper_result result; /* of the last update */
    int64_t effective_batch, image_values;
    bool bf16;
} fv_bench_step;

/* pass: the most samples of a pass, 0: as train has it. */
fv_status fv_bench_step_create(fv_bench_step *b, int64_t pass);
void fv_bench_step_destroy(fv_bench_step *b);

fv_status fv_bench_step_run(void *b, int64_t index); /* an update */

#endif
