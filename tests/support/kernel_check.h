/* kernel_check.h - what tests of kernels share: the tables of this machine, row lengths with every tail,
 * rows with a guard behind them, and comparisons that name kernel and element.  One test file includes it
 * and has the tables to itself. */
#ifndef FV_TESTS_SUPPORT_KERNEL_CHECK_H
#define FV_TESTS_SUPPORT_KERNEL_CHECK_H

#include "core/kernels/kernels.h"
#include "core/rng.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define MAX_N 400
#define PAD   20 /* beyond n: NaN in inputs, a mark in outputs */
#define MARK  12345.0f

static fv_kernels tables[3];
static int n_tables;

/* Before each test. */
static inline void kernel_check_start(void) {
    fv_kernels_init_c(&tables[0]);
    n_tables = 1;
    if (fv_cpu_flags() & FV_CPU_AVX2) fv_kernels_init_avx2(&tables[n_tables++]);
    if (fv_cpu_flags() & FV_CPU_AVX512) fv_kernels_init_avx512(&tables[n_tables++]);
    if (fv_cpu_flags() & FV_CPU_AVX512_BF16) fv_kernels_init_pairs_avx512(&tables[n_tables - 1]);
}

/* All tails of one to four vectors, and some rows of models. */
static inline const int64_t *sizes(int *count) {
    static int64_t n[80];
    static const int64_t more[] = {96, 127, 128, 197, 384};

    for (*count = 0; *count <= 70; ++*count) n[*count] = *count;
    for (int i = 0; i < 5; i++) n[(*count)++] = more[i];
    return n;
}

#define FOR_ALL(k, n)                                              \
    int n_sizes_;                                                  \
    const int64_t *const sizes_ = sizes(&n_sizes_);                \
    for (const fv_kernels *k = tables; k < tables + n_tables; k++) \
        for (int64_t s_ = 0, n = sizes_[0]; s_ < n_sizes_; s_++, n = s_ < n_sizes_ ? sizes_[s_] : 0)

static inline void random_row(float *row, int64_t n, uint32_t layer, float spread) {
    const fv_rng_key key = {
        .seed = 1, .purpose = FV_RNG_TEST, .sample = (uint32_t)n, .layer = layer};
    for (int64_t i = 0; i < n; i++) row[i] = spread * fv_rng_normal(&key, (uint64_t)i);
    for (int64_t i = n; i < n + PAD; i++) row[i] = NAN;
}

static inline void mark(float *row, int64_t n) {
    for (int64_t i = 0; i < n + PAD; i++) row[i] = MARK;
}

/* Aborts the test, as the next one. */
static inline void check_mark(const char *what, const float *row, int64_t n) {
    for (int64_t i = n; i < n + PAD; i++) {
        if (row[i] == MARK) continue;
        fprintf(stderr, "%s n=%d writes element %d\n", what, (int)n, (int)i);
        abort();
    }
}

static inline void check(const char *isa, const char *what, int64_t n, int64_t i, double got,
                         double want, double absolute, double relative) {
    const bool ok = isnan(want)   ? isnan(got)
                    : isinf(want) ? got == want
                                  : fabs(got - want) <= absolute + relative * fabs(want);
    if (ok) return;
    fprintf(stderr, "%s %s n=%d i=%d: %.9g, not %.9g\n", isa, what, (int)n, (int)i, got, want);
    abort();
}

#endif
