/* widened.h - bf16 operands as f32, for a plan that reads f32 because the library has none for bf16.
 *
 * Operands are widened into scratch of the calling thread, where the f32 plan reads them, and a bf16
 * result is narrowed from there.  The scratch is neither fv_scratch, which belongs to the caller, nor
 * that of the library's lanes, which the f32 plan takes. */
#ifndef FV_CORE_WIDENED_H
#define FV_CORE_WIDENED_H

#include "core/backend/backend.h"
#include "core/backend/lanes.h"

/* A bf16 matrix with rows ld elements apart, in f32 without gaps.  No rows: used as it is. */
typedef struct fv_widened_part {
    int64_t rows, columns, ld;
} fv_widened_part;

/* What a plan converts. */
typedef struct fv_widened {
    fv_widened_part a, b, out;
    int n_lanes; /* threads with enough scratch */
} fv_widened;

/* The f32 descriptor that does the work of a bf16 one, both normalised, and what to convert for its
 * run and for conv_pack. */
fv_gemm fv_widened_gemm(const fv_gemm *desc, fv_widened *run);
fv_conv fv_widened_conv(const fv_conv *desc, fv_widened *run, fv_widened *pack);

/* Scratch for every thread of the budget; allocates when it has grown only.  Not thread-safe. */
fv_status fv_widened_equip(fv_widened *w);

/* One run: a, b and out are the f32 plan's between begin and end. */
typedef struct fv_widened_call {
    const void *a, *b;
    void *out;
    const fv_widened *w;
    void *result; /* where out goes */
    fv_loan loan; /* the scratch */
} fv_widened_call;

fv_status fv_widened_begin(const fv_widened *w, const void *a, const void *b, void *out,
                           fv_widened_call *call);
/* Passes the run's status on. */
fv_status fv_widened_end(const fv_widened_call *call, fv_status status);

/* Frees the scratch; no plan may be left. */
void fv_widened_release(void);

#endif
