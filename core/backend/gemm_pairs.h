/* gemm_pairs.h - bf16 products by our own kernel, where the CPU has dot products of pairs of bf16 but no tiles of
 * AMX: each element of C one chain of them over k in order, in f32.
 *
 * oneDNN packs op(A) and op(B) at every call there, and where the rows of C do not lie one behind the other it
 * takes gemm:jit, which rounds C in a pass of its own.  Here op(B) lies in panels of 64 columns, pair by pair of
 * k; rows of A are read as they are, and a transposed A is paired block by block. */
#ifndef FV_CORE_GEMM_PAIRS_H
#define FV_CORE_GEMM_PAIRS_H

#include "core/backend/backend.h"

/* Whether the CPU is such a one. */
bool fv_pairs_lead(void);

/* A product of bf16 with alpha 1, on such a CPU. */
bool fv_gemm_pairs_supports(const fv_gemm *desc);

/* Bytes of op(B) in panels. */
size_t fv_gemm_pairs_bytes(const fv_gemm *desc);

/* Packs op(B) of columns first .. first + count - 1 into its place; first is a multiple of 64. */
void fv_gemm_pairs_pack(const fv_gemm *desc, const fv_bf16 *b, int64_t first, int64_t count,
                        fv_bf16 *packed);

/* Scratch for every thread of the budget, for a plan of which *n_lanes have it; allocates when the budget has
 * grown only.  Not thread-safe. */
fv_status fv_gemm_pairs_equip(const fv_gemm *desc, int *n_lanes);
/* Frees it; no plan may be left. */
void fv_gemm_pairs_release(void);

/* desc is normalised; b is packed where it says so.  In the calling thread; can fail only where a thread beyond
 * the budget finds no scratch. */
fv_status fv_gemm_pairs_run(const fv_gemm *desc, int n_lanes, const fv_bf16 *a, const fv_bf16 *b,
                            const float *bias, void *c);

#endif
