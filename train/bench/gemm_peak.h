/* gemm_peak.h - the matrix-product rate that this machine reaches now: what utilisation is measured
 * against.  A 2048 x 2048 x 2048 product through fv_backend, cut into one-threaded tiles over the
 * thread budget as the models' own products are. */
#ifndef FV_TRAIN_BENCH_GEMM_PEAK_H
#define FV_TRAIN_BENCH_GEMM_PEAK_H

#include "core/status.h"

#include <stdbool.h>

typedef struct fv_gemm_peak fv_gemm_peak;

/* Takes the product's memory with the first measurement only.  The caller frees *out with fv_gemm_peak_destroy. */
fv_status fv_gemm_peak_create(bool bf16, fv_gemm_peak **out);
void fv_gemm_peak_destroy(fv_gemm_peak *peak); /* NULL is fine */

/* Runs the product once in each of its tilings.  After a failure the peak is to be destroyed. */
fv_status fv_gemm_peak_measure(fv_gemm_peak *peak);

/* The best rate so far, in 1e9 floating-point operations per second. */
double fv_gemm_peak_gflops(const fv_gemm_peak *peak);

#endif
