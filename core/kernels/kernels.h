/* kernels.h - what oneDNN lacks or does slowly, as a table of function pointers.
 *
 * The table is filled once: plain C first, then overwritten upward by the instruction sets that the
 * CPU has and FOVEA_CPU (c, avx2, avx512) allows.  Every kernel works on one row or one contiguous
 * run of f32 in the calling thread; rows, dtypes and threads are the caller's business (bf16 rows go
 * through the conversion kernels and a row buffer that stays in L1).  Where that costs, kernels take
 * void pointers with a dtype, f32 or bf16: they compute in f32 and round what they write.  Within one
 * instruction set a kernel's bits depend on its arguments only.  NaN and infinity propagate; n may be
 * any value >= 0; pointers need no alignment.  Unless said otherwise the output may alias an input of
 * its length. */
#ifndef FV_CORE_KERNELS_H
#define FV_CORE_KERNELS_H

#include "core/tensor.h"

/* bits of fv_cpu_flags() */
#define FV_CPU_AVX2        1u
#define FV_CPU_AVX512      2u /* F, BW, DQ, VL */
#define FV_CPU_AVX512_BF16 4u /* bf16 dot products */
#define FV_CPU_AMX_BF16    8u
#define FV_CPU_NEON        16u

/* What the CPU and the operating system have, lowered by FOVEA_CPU; read once. */
unsigned fv_cpu_flags(void);
const char *fv_cpu_limit(void); /* FOVEA_CPU: "c", "avx2", "avx512"; "" when unset or unknown */
const char *fv_cpu_isa(void);   /* the widest flag: "c", "avx2", "avx512", "avx512_bf16", "neon" */
const char *fv_cpu_model(void); /* "model name" of /proc/cpuinfo, or the machine type */

/* Decoupled-weight-decay Adam, one parameter tensor, one step. */
typedef struct fv_adamw_args {
    double lr, beta1, beta2, eps, weight_decay; /* double: 1 - 0.999f is off by 1e-5 */
    double bias1, bias2;                        /* 1 - beta^t */
    float grad_scale;                           /* clipping factor, 1 = none */
} fv_adamw_args;

#define FV_STRIP 32 /* channels that tap_sums works on */

#define FV_PANEL_MOST 64 /* columns of B that lie together where it is packed for a product */
#define FV_STRIP_ROWS 6  /* rows of A that lie together where they are packed for a product */

/* C[m,n] = A B, C += A B, or start + A B in every row: element (i,p) of A is a[i * a_row + p * a_column], or
 * where a_strip is not 0 a[i / FV_STRIP_ROWS * a_strip + i % FV_STRIP_ROWS * a_row + p * a_column]; rows of B
 * and C are ldb and ldc apart. */
typedef struct fv_product {
    int64_t m, n, k, a_row, a_column, a_strip, ldb, ldc;
    bool add;
    const float *start; /* [n], NULL: zeros; not read where add is set */
} fv_product;

#define FV_WINDOW_MAX 256 /* pixels of a pooling window */

/* The pixels of a window, or the windows that cover a pixel: where each one begins, in elements, and the place
 * that the pixel has in the window. */
typedef struct fv_window {
    int64_t count, offset[FV_WINDOW_MAX];
    uint8_t place[FV_WINDOW_MAX];
} fv_window;

/* Rows x [rows,n] without gaps of n channels, and what batch norm makes of them: z_rc = (x_rc - mean_c) a_c +
 * b_c. */
typedef struct fv_norm_rows {
    int64_t rows, n;
    const void *x;
    fv_dtype type;
    const float *mean, *a, *b; /* [n], none of them NULL */
    bool relu;                 /* ReLU behind it */
} fv_norm_rows;

/* Pairs of bf16: elements 2 p and 2 p + 1 of k side by side, as bf16 dot products read them; where k is odd the
 * last pair ends with a zero. */

typedef struct fv_kernels {
    const char *isa;
    /* y += a x */
    void (*axpy)(int64_t n, float a, const float *x, float *y);
    /* y = x + a r  (residual with a per-sample factor) */
    void (*add_scaled)(int64_t n, const float *x, float a, const float *r, float *y);
    /* y = a x */
    void (*scale)(int64_t n, float a, const float *x, float *y);
    /* sum_i x_i y_i, f32 accumulation in a fixed order */
    float (*dot)(int64_t n, const float *x, const float *y);
    /* sum_i x_i^2, accumulated in double in a fixed order */
    double (*sum_squares)(int64_t n, const float *x);
    /* out = sum_i x_i y_i, sum_i |x_i y_i| and max_i |x_i y_i|, in double and in a fixed order; an infinite
     * y_i counts as 0, y = NULL as ones.  A NaN makes all three NaN. */
    void (*signed_sums)(int64_t n, const float *x, const float *y, double out[3]);
    /* true when every element is finite */
    bool (*all_finite)(int64_t n, const float *x);
    /* y = x, other type */
    void (*to_bf16)(int64_t n, const float *x, fv_bf16 *y);
    void (*from_bf16)(int64_t n, const fv_bf16 *x, float *y);
    /* y_i = exp(a x_i - m) / sum, m = max_j a x_j, a > 0; *lse = m + log sum when lse is not NULL.
     * A row of -inf gives zeros and lse = -inf. */
    void (*softmax)(int64_t n, float a, const float *x, float *y, float *lse);
    /* y_i = exp(a x_i - lse): a softmax row again from its saved log-sum-exp */
    void (*softmax_from_lse)(int64_t n, float a, const float *x, float lse, float *y);
    /* dx_i = a y_i (dy_i - delta); delta = sum_j y_j dy_j is the caller's */
    void (*softmax_backward)(int64_t n, float a, const float *y, const float *dy, float delta,
                             float *dx);
    /* y_i = gamma_i (x_i - mean) rstd + beta_i, rstd = 1/sqrt(var + eps), biased variance;
     * mean and rstd may be NULL */
    void (*layernorm)(int64_t n, const float *x, const float *gamma, const float *beta, float eps,
                      float *y, float *mean, float *rstd);
    /* dx_i = rstd (g_i - mean(g) - xhat_i mean(g xhat)), g = gamma dy;
     * dgamma += dy xhat, dbeta += dy (either both or none may be NULL; they alias nothing) */
    void (*layernorm_backward)(int64_t n, const float *x, const float *gamma, const float *dy,
                               float mean, float rstd, float *dx, float *dgamma, float *dbeta);
    /* erf form: y = x Phi(x), both of one type */
    void (*gelu)(int64_t n, const void *x, void *y, fv_dtype type);
    /* dx = dy (Phi(x) + x phi(x)), x and dx of one type */
    void (*gelu_backward)(int64_t n, const void *x, fv_dtype type, const void *dy, fv_dtype dy_type,
                          void *dx);
    /* y = x Phi(x), slope = Phi(x) + x phi(x): the bits of gelu and, times dy, of gelu_backward;
     * slope may be x */
    void (*gelu_and_slope)(int64_t n, const float *x, float *y, float *slope);
    /* y = sigma(x) = 1 / (1 + e^-x) */
    void (*sigmoid)(int64_t n, const float *x, float *y);
    /* y = x sigma(x) */
    void (*silu)(int64_t n, const float *x, float *y);
    /* dx = dy (s + x s (1 - s)), s = sigma(x) */
    void (*silu_backward)(int64_t n, const float *x, const float *dy, float *dx);
    /* y = x where x > 0 or is NaN, else 0 */
    void (*relu)(int64_t n, const float *x, float *y);
    /* dx = dy where y > 0 or is NaN, else 0; y may be the relu or its input */
    void (*relu_backward)(int64_t n, const float *y, const float *dy, float *dx);
    /* Batch norm over rows of n channels, x [rows,n] without gaps; per channel c, rows in order: */
    /* sum_c += sum_r x_rc, here of rows ld apart */
    void (*column_sums)(int64_t rows, int64_t n, int64_t ld, const void *x, fv_dtype type,
                        float *sum);
    /* sum_c += sum_r (x_rc - mean_c)^2 */
    void (*square_sums)(int64_t rows, int64_t n, const void *x, fv_dtype type, const float *mean,
                        float *sum);
    /* product_c += sum_r g_rc (x_rc - mean_c), sum_c += sum_r g_rc; here and below g is dy, with relu where
     * z > 0 or is NaN, else 0 */
    void (*product_sums)(const fv_norm_rows *in, const void *dy, fv_dtype dy_type, float *product,
                         float *sum);
    /* y = z, with relu where z > 0 or is NaN, else 0; here and below the output may alias inputs of its type */
    void (*normalize)(const fv_norm_rows *in, void *y, fv_dtype y_type);
    /* dx_rc = a_c g_rc + c_c (x_rc - mean_c) + d_c */
    void (*normalize_backward)(const fv_norm_rows *in, const void *dy, fv_dtype dy_type,
                               const float *c, const float *d, void *dx, fv_dtype dx_type);
    /* One window of pixels of n channels, x and y of one type, count > 0: y_c = max_i x[offset_i + c] and
     * winner_c = its place_i (NULL: nobody asks).  The first wins a tie, NaN wins always, the last one. */
    void (*max_pool)(const fv_window *w, int64_t n, const void *x, fv_dtype type, void *y,
                     uint8_t *winner);
    /* One pixel: dx_c = sum_i dy[offset_i + c] where winner[offset_i + c] = place_i, in order and in f32.
     * Nothing may alias. */
    void (*max_pool_backward)(const fv_window *w, int64_t n, const void *dy, fv_dtype dy_type,
                              const uint8_t *winner, void *dx, fv_dtype dx_type);
    /* sum[k * FV_STRIP + c] += sum over i < n of x[(i * step + k) * FV_STRIP + c] y[i * FV_STRIP + c]
     * for k < taps, c < FV_STRIP: what a row of y adds to a depthwise weight gradient.  x holds
     * (n - 1) * step + taps vectors of FV_STRIP channels, y n; nothing may alias. */
    void (*tap_sums)(int64_t n, int64_t taps, int64_t step, const float *x, const float *y,
                     float *sum);
    /* columns of B that the next one works on at once, at most FV_PANEL_MOST */
    int64_t panel;
    /* A product whose panel of B stays in cache: each element summed over p in order, with one rounding or two
     * per step.  c aliases nothing; k = 0 gives what the sums start from. */
    void (*product)(const fv_product *p, const float *a, const float *b, float *c);
    /* The same for bf16, in f32 sums: b holds pairs of k, (p,j) of B at b[p / 2 * ldb + 2 j + p % 2]; element (i,p)
     * of A is a[i * a_row + p / 2 * a_column + p % 2], which at p = k - 1 is the last that is read.  No strips; c is
     * f32 or bf16 by its type (add: f32). */
    void (*product_bf16)(const fv_product *p, const fv_bf16 *a, const fv_bf16 *b, void *c,
                         fv_dtype type);
    /* As pairs of rows: y[p / 2 * ldy + 2 i + p % 2] = x[p * ldx + i] for p < rows, i < columns; an odd last row
     * is paired with zeros; no aliasing */
    void (*pair_rows)(int64_t rows, int64_t columns, const fv_bf16 *x, int64_t ldx, fv_bf16 *y,
                      int64_t ldy);
    /* Transposed, as pairs: y[p / 2 * ldy + 2 i + p % 2] = x[i * ldx + p] for i < rows, p < columns; an odd last
     * column is followed by zeros; no aliasing */
    void (*pair_columns)(int64_t rows, int64_t columns, const fv_bf16 *x, int64_t ldx, fv_bf16 *y,
                         int64_t ldy);
    /* y[j * ldy + i] = x[i * ldx + j] for i < rows, j < columns; no aliasing */
    void (*transpose)(int64_t rows, int64_t columns, const float *x, int64_t ldx, float *y,
                      int64_t ldy);
    /* w *= 1 - lr wd; m = b1 m + (1-b1) g; v = b2 v + (1-b2) g^2;
     * w -= lr/bias1 m / (sqrt(v)/sqrt(bias2) + eps), g = grad_scale * grad (Loshchilov and Hutter
     * 2019; torch.optim.AdamW's order of operations) */
    void (*adamw)(int64_t n, const fv_adamw_args *args, const float *grad, float *m, float *v,
                  float *w);
} fv_kernels;

/* The table in use; the first call selects it.  Thread-safe. */
const fv_kernels *fv_kernel(void);

/* Fill or overwrite entries; for fv_kernel and the test that compares instruction sets. */
void fv_kernels_init_c(fv_kernels *table);
void fv_kernels_init_avx2(fv_kernels *table);
void fv_kernels_init_avx512(fv_kernels *table);
/* Their parts for convolutional networks. */
void fv_kernels_init_map_c(fv_kernels *table);
void fv_kernels_init_map_avx2(fv_kernels *table);
void fv_kernels_init_map_avx512(fv_kernels *table);
void fv_kernels_init_gelu_avx512(fv_kernels *table);
void fv_kernels_init_pool_c(fv_kernels *table);
void fv_kernels_init_pool_avx2(fv_kernels *table);
void fv_kernels_init_pool_avx512(fv_kernels *table);
/* Small products. */
void fv_kernels_init_product_c(fv_kernels *table);
void fv_kernels_init_product_avx2(fv_kernels *table);
void fv_kernels_init_product_avx512(fv_kernels *table);
/* Products of bf16; the last needs bf16 dot products, the first serves where they are missing. */
void fv_kernels_init_pairs_c(fv_kernels *table);
void fv_kernels_init_pairs_avx512(fv_kernels *table);

#endif
