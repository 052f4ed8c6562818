/* bench_train.h - how fast a model trains on a batch that lies in memory: updates of the trainer's own
 * stepper (forward, backward, clipping, optimiser) without loading, and how much of the machine's
 * matrix-product rate they use. */
#ifndef FV_TRAIN_BENCH_BENCH_TRAIN_H
#define FV_TRAIN_BENCH_BENCH_TRAIN_H

#include "core/report.h"
#include "core/settings.h"

typedef struct fv_bench_result {
    double images_per_second;      /* of the median step */
    double step_seconds;           /* the median */
    double gemm_peak_gflops;       /* best rate of a 2048^3 product between the steps */
    double model_gflops_per_image; /* 2 x MACs of a forward pass; three times that for training */
    double mfu;                    /* the model's rate over the peak, 0..1 */
    double peak_rss_mb;            /* of the process so far */
    double loss;                   /* of the last step */
    int threads;
    bool bf16;
} fv_bench_result;

/* Uses model, its groups, num_classes, img_size, drop_path, batch_size, grad_accum_steps, precision,
 * seed, warmup and steps.  report may be NULL; its stop gives FV_ERR_INTERRUPTED. */
fv_status fv_bench_train(const fv_settings *settings, const fv_report *report,
                         fv_bench_result *out);

/* The result as a map with the keys that `fovea bench --json` prints; NULL when memory runs out. */
fv_value *fv_bench_value(const fv_bench_result *result, fv_arena *arena);

#endif
