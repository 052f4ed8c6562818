/* bench_common.h - what the benchmarks share: a model without a checkpoint, pixels that are noise, and
 * the numbers that stand for repeated measurements. */
#ifndef FV_TRAIN_BENCH_BENCH_COMMON_H
#define FV_TRAIN_BENCH_BENCH_COMMON_H

#include "core/report.h"
#include "core/settings.h"
#include "models/model.h"
#include "train/bench/gemm_peak.h"

/* The model that the settings name (model and its groups, num_classes, img_size, drop_path), with the
 * initial weights of the settings' seed. */
fv_status fv_bench_model(const fv_settings *settings, bool gradients, bool bf16, fv_model **out);

/* n images of the model's input size [n,H,W,3], uniform in [-2, 2); NULL when memory runs out.  End with
 * fv_free. */
float *fv_bench_pixels(const fv_model *model, int64_t n, uint64_t seed);

/* Work on a model's images that is timed again and again: warmup + steps times step(user, index), each followed
 * by a matrix product for the peak, so that both see the same clock rates and neighbours. */
typedef struct fv_bench_steps {
    const fv_settings *settings; /* warmup and steps */
    const fv_report *report;     /* may be NULL; its stop gives FV_ERR_INTERRUPTED */
    const fv_model *model;
    fv_gemm_peak *peak;
    bool bf16;
    fv_status (*step)(void *user, int64_t index);
    void *user;
    int64_t images;  /* of a step */
    double forwards; /* what an image costs, in forward passes */
} fv_bench_steps;
/* Puts into the map out what was measured (model, batch_size: images, img_size, params, activations and gmacs of an
 * image) and, for the median step: images_per_second, gemm_peak_gflops, model_gflops_per_image, mfu
 * (the model's rate over the peak, 0..1), peak_rss_mb (of the process, without that product), step_seconds, threads,
 * precision. */
fv_status fv_bench_rate(const fv_bench_steps *steps, fv_arena *arena, fv_value *out);

/* Sorts v [n], n > 0, and returns its median. */
double fv_bench_median(double *v, int64_t n);

/* The process's largest resident memory so far, in MB of 2^20 bytes. */
double fv_bench_peak_rss_mb(void);

#endif
