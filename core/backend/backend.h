/* backend.h - matrix products and convolutions behind one table: reference C or oneDNN.
 *
 * Both compute in f32 and in bf16 on every CPU; bf16 is slower than f32 where the CPU has no bf16 dot
 * products.
 *
 * Work is described once (fv_gemm, fv_conv), looked up once per shape (gemm_find, conv_find, which
 * create and cache primitives in a one-thread scope) and then run any number of times on tiles, each
 * run one-threaded inside the caller's parallel tasks.  Finding allocates on the first sight of a
 * shape only; running allocates only in a thread beyond those it was found for.  Scratch is per thread
 * and belongs to the backend (oneDNN's own default scratchpad is shared between threads and silently
 * corrupts results). */
#ifndef FV_CORE_BACKEND_H
#define FV_CORE_BACKEND_H

#include "core/tensor.h"

#include <stdbool.h>

/* C[m,n] = alpha op(A)[m,k] op(B)[k,n] (+ bias[n]) (+ C when accumulate).
 * Element (i,p) of op(A) is at a[i*lda + p], or a[p*lda + i] when trans_a; (p,j) of op(B) at
 * b[p*ldb + j], or b[j*ldb + p] when trans_b; C has rows of ldc elements.  A and B share dtype ab
 * (f32 or bf16), C is f32 or bf16 (accumulate: f32 only), bias f32.  Products of bf16 accumulate in
 * f32.  Rows that are apart do not see each other: the bits of a row of C depend on its row of op(A)
 * and on what B, n and k are, but neither on m nor on the row's place.  Zero-initialise before filling:
 * equal descriptors must have equal bytes. */
typedef struct fv_gemm {
    int64_t m, n, k, lda, ldb, ldc;
    float alpha; /* 0 stands for 1 */
    int32_t trans_a, trans_b, accumulate, bias;
    int32_t apart;  /* rows belong to samples that must not know each other; not with trans_a */
    int32_t packed; /* B is what gemm_pack made of it, where gemm_packed_bytes is not 0 */
    fv_dtype ab, c;
    int32_t unused; /* 0; no bytes without a name, which copies may change */
} fv_gemm;

_Static_assert(sizeof(fv_gemm) == 6 * 8 + 10 * 4, "equal descriptors must have equal bytes");

typedef struct fv_gemm_plan fv_gemm_plan;

typedef enum fv_conv_pass {
    FV_CONV_FORWARD, /* y = x * w (+ bias) */
    FV_CONV_DATA,    /* dx = gradient of x, from dy and w */
    FV_CONV_WEIGHTS  /* dw = gradient of w, from x and dy, summed over the n images */
} fv_conv_pass;

/* A 2-D convolution of n images: x [n,H,W,C], y [n,Ho,Wo,O], weights w [O,C/groups,kh,kw] with
 * y[o] = sum over taps and the C/groups channels of o's group; Ho = (H + top + bottom - kh) / stride
 * + 1 rounded down, Wo likewise.  Inputs of a pass (x, w, dy) have dtype in, f32 or bf16; the result
 * has dtype out: f32, or bf16 for y and dx of bf16 inputs.  Sums are f32, bias f32.
 * Zero-initialise before filling; stride and groups of 0 stand for 1. */
typedef struct fv_conv {
    int64_t n, H, W, C, O;
    int64_t kh, kw, stride, top, left, bottom, right, groups;
    fv_conv_pass pass;
    int32_t bias; /* forward only */
    fv_dtype in, out;
} fv_conv;

/* Ho and Wo; descriptors that conv_find refuses may give anything. */
int64_t fv_conv_rows(const fv_conv *c);
int64_t fv_conv_columns(const fv_conv *c);

typedef struct fv_conv_plan fv_conv_plan;

typedef struct fv_backend_table {
    const char *name; /* "onednn 2.6.3", "reference" */
    /* A cached plan that lives until fv_backend_release.  Call it outside of parallel tasks. */
    fv_status (*gemm_find)(const fv_gemm *desc, const fv_gemm_plan **plan);
    /* A plan of packed products reads alpha op(B) in a layout of its own, gemm_packed_bytes long; plans that
     * differ in m only read the same.  0: it reads B as it is, and is not to be asked to pack.  gemm_pack
     * writes columns first .. first + count - 1 into their place; first is a multiple of 64, and count too
     * but at the end. */
    size_t (*gemm_packed_bytes)(const fv_gemm_plan *plan);
    void (*gemm_pack)(const fv_gemm_plan *plan, const void *b, int64_t first, int64_t count,
                      void *packed);
    /* Runs in the calling thread.  bias may be NULL unless the plan has one. */
    fv_status (*gemm_run)(const fv_gemm_plan *plan, const void *a, const void *b, const float *bias,
                          void *c);
    /* The implementation's name, e.g. "brg:avx512_core"; for fovea info and the test that refuses
     * reference implementations on hot paths. */
    const char *(*gemm_implementation)(const fv_gemm_plan *plan);
    /* The same three for convolutions.  Forward and data passes read weights in a layout of the plan's
     * own: conv_pack writes it from w into packed, conv_packed_bytes long (0 for the weights pass).
     * forward: a = x, b = packed, out = y;  data: a = dy, b = packed, out = dx;  weights: a = x,
     * b = dy, out = dw in the layout of w. */
    fv_status (*conv_find)(const fv_conv *desc, const fv_conv_plan **plan);
    size_t (*conv_packed_bytes)(const fv_conv_plan *plan);
    fv_status (*conv_pack)(const fv_conv_plan *plan, const void *w, void *packed);
    fv_status (*conv_run)(const fv_conv_plan *plan, const void *a, const void *b, const float *bias,
                          void *out);
    const char *(*conv_implementation)(const fv_conv_plan *plan);
    uint64_t (*plans_created)(void); /* so far; the no-creation-after-warm-up test reads it */
    void (*release)(void);           /* drops every plan */
} fv_backend_table;

/* The backend in use: oneDNN, or the reference when FOVEA_CPU=c.  Thread-safe. */
const fv_backend_table *fv_backend(void);

extern const fv_backend_table fv_backend_ref, fv_backend_dnnl;

/* Chooses another table for the process (tests compare the two); NULL restores the default. */
void fv_backend_use(const fv_backend_table *table);

#endif
