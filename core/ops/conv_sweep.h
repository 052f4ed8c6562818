/* conv_sweep.h - the passes of a convolution over a batch on a fixed grid, for op_conv2d.c.
 *
 * The whole problem is described as in backend.h with n = all images.  What a task sees together
 * depends on the shapes of one image and on the chunk size only. */
#ifndef FV_CORE_OPS_CONV_SWEEP_H
#define FV_CORE_OPS_CONV_SWEEP_H

#include "core/backend/backend.h"
#include "core/ops/chunk_slots.h"

#include <stdatomic.h>

#define FV_CONV_BANDS 16 /* of an image, at most */

/* One shape of task: some images, or a band of rows of one image. */
typedef struct fv_conv_part {
    const fv_conv_plan *plan;
    const void *packed;
    int64_t in_row, out_row, out_rows; /* where the band begins in either map, and its height */
} fv_conv_part;

/* The forward or the data pass.  A task is a power of two of images while an image is small, an image,
 * or a band of rows of a large one: maps are NHWC, so that a band is a smaller convolution in place. */
typedef struct fv_conv_sweep {
    fv_conv desc;
    int64_t images; /* of a task */
    int64_t n_bands, n_tasks;
    fv_conv_part part[FV_CONV_BANDS]; /* bands; or a full task and a shorter last one */
    int n_parts;
    const void *in;
    const float *bias;
    fv_grad out;
    bool direct; /* results go where they belong, else through the thread's scratch */
    size_t scratch_bytes;
    atomic_int *failed;
} fv_conv_sweep;

/* Cuts, finds the plans and packs w (in desc's dtype) into scratch of the tape.  desc->pass is
 * FV_CONV_FORWARD or FV_CONV_DATA, its out is chosen here.  The caller reserves scratch_bytes. */
fv_status fv_conv_sweep_begin(fv_tape *tape, const fv_conv *desc, const void *in, const void *w,
                              const float *bias, const fv_grad *out, atomic_int *failed,
                              fv_conv_sweep *sweep);
void fv_conv_sweep_task(const fv_conv_sweep *sweep, int64_t task);

/* The weights pass and the bias gradient, chunk by chunk through the tree.  A task is a block of output
 * channels of one chunk whose sums wait in a slot, or, for many weights, of all chunks in turn; the
 * order of additions is the same. */
typedef struct fv_conv_sums {
    fv_conv desc; /* of one run: images and a block's channels vary */
    int64_t samples, chunk;
    int64_t images;          /* of a run, at most */
    int64_t block, n_blocks; /* output channels */
    int64_t fan_in;          /* weights of an output channel */
    int64_t n_tasks;
    const void *x, *dz;
    /* A run of `images`, the rest of a chunk, of the last chunk; a full block, the last one. */
    const fv_conv_plan *plan[3][2];
    fv_chunk_slots slots; /* without data each task sums up all chunks */
    size_t scratch_bytes;
    atomic_int *failed;
} fv_conv_sums;

fv_status fv_conv_sums_begin(fv_tape *tape, const fv_conv *desc, const void *x, const void *dz,
                             const fv_tree *weight, const fv_tree *bias, atomic_int *failed,
                             fv_conv_sums *sums);
void fv_conv_sums_task(const fv_conv_sums *sums, int64_t task);
/* After all tasks: hands what waits in slots to the trees. */
fv_status fv_conv_sums_end(const fv_conv_sums *sums);

/* Of one image: elements of its maps, multiply-accumulates. */
int64_t fv_conv_numel_x(const fv_conv *c);
int64_t fv_conv_numel_y(const fv_conv *c);
double fv_conv_macs(const fv_conv *c);

#endif
