/* bench_common.h - what the benchmarks share: a model without a checkpoint, pixels that are noise, and
 * the numbers that stand for repeated measurements. */
#ifndef FV_TRAIN_BENCH_BENCH_COMMON_H
#define FV_TRAIN_BENCH_BENCH_COMMON_H

#include "core/settings.h"
#include "models/model.h"

/* The model that the settings name (model and its groups, num_classes, img_size, drop_path), with the
 * initial weights of the settings' seed. */
fv_status fv_bench_model(const fv_settings *settings, bool gradients, bool bf16, fv_model **out);

/* n images of the model's input size [n,H,W,3], uniform in [-2, 2); NULL when memory runs out.  End with
 * fv_free. */
float *fv_bench_pixels(const fv_model *model, int64_t n, uint64_t seed);

/* Sorts v [n], n > 0, and returns its median. */
double fv_bench_median(double *v, int64_t n);

/* The process's largest resident memory so far, in MB of 2^20 bytes. */
double fv_bench_peak_rss_mb(void);

#endif
