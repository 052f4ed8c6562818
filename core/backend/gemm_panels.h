/* gemm_panels.h - f32 products by our own kernel, each element of C one chain of multiply-adds over k in order.
 *
 * For rows that stay apart: oneDNN's gemm:jit, which is what it has for CPUs without AVX-512, adds up a row in
 * an order that depends on how many rows there are and where among them it stands, so that an image would know
 * its neighbours in the batch.  And for sums over many rows (trans_a), where it is slower.  With AVX-512
 * for all but those sums: tiles of 6 x 64 are faster than its batch-reduced products (docs/performance.md).
 *
 * The kernel reads op(B) in panels of fv_kernel()->panel columns, k rows one behind the other (Goto and van de
 * Geijn 2008, doi:10.1145/1356052.1356053).  A run packs them as it goes, or finds them packed. */
#ifndef FV_CORE_GEMM_PANELS_H
#define FV_CORE_GEMM_PANELS_H

#include "core/backend/backend.h"

/* desc is normalised.  True: these run it whatever oneDNN has. */
bool fv_gemm_panels_leads(const fv_gemm *desc);

/* Bytes of op(B) in panels. */
size_t fv_gemm_panels_bytes(const fv_gemm *desc);

/* Packs alpha op(B) of columns first .. first + count - 1 into its place; first is a multiple of
 * fv_kernel()->panel.  b is f32 or bf16, by desc. */
void fv_gemm_panels_pack(const fv_gemm *desc, const void *b, int64_t first, int64_t count,
                         float *packed);

/* Scratch for every thread of the budget, for a plan with trans_a of which *n_lanes have it; allocates when
 * the budget has grown only.  Not thread-safe. */
fv_status fv_gemm_panels_equip(int *n_lanes);
/* Frees it; no plan may be left. */
void fv_gemm_panels_release(void);

/* desc is normalised and f32; b is packed where it says so.  In the calling thread; can fail only where a
 * thread beyond the budget finds no scratch for trans_a. */
fv_status fv_gemm_panels_run(const fv_gemm *desc, int n_lanes, const float *a, const float *b,
                             const float *bias, float *c);

#endif
