/* stepper.h - one update: forward and backward over the passes of an effective batch, then clipping
 * and the optimiser.
 *
 * The effective batch is executed in passes of whole gradient chunks (core/tree.h), so that its result
 * has the same bits for every split into passes (batch norms aside, whose statistics are those of a
 * pass).  Parameters change in fv_stepper_commit only, after every loss and the gradient are known to be
 * finite; a failed update leaves no trace.  After the first two updates nothing is allocated. */
#ifndef FV_TRAIN_STEPPER_H
#define FV_TRAIN_STEPPER_H

#include "models/model.h"
#include "train/ema.h"
#include "train/optimizer.h"

/* Of a limit, set aside for what neither fv_alloc nor the tape holds: code, libraries, primitives, decoders,
 * stacks. */
#define FV_STEPPER_RESERVE ((size_t)96 << 20)

typedef struct fv_stepper_config {
    fv_model *model;         /* with gradients; not owned */
    fv_optimizer *optimizer; /* of the model's parameters; not owned */
    fv_ema *ema;             /* likewise; NULL: none is kept */
    int64_t effective_batch; /* samples per update */
    int64_t batch_size; /* samples per pass, rounded up to whole chunks; exact with batch norms */
    uint64_t seed;      /* of stochastic depth */
    bool bf16;
    float smoothing;  /* of the labels */
    bool bce;         /* passes have targets, and their loss is binary cross entropy */
    double clip_grad; /* largest gradient norm; 0 = no clipping */
    /* The model's blocks are computed again in the backward pass (core/tape.h). */
    bool grad_checkpointing;
    /* Bytes of the whole process, 0: no limit.  The first pass decides how many blocks are computed again to
     * stay within it. */
    size_t mem_limit;
} fv_stepper_config;

/* The batch_size to ask for when images come in batches of so many: what the threads need, or all of them
 * where batch norms make a pass a part of the result. */
int64_t fv_stepper_batch_size(const fv_model *model, int64_t batch_size);

typedef struct fv_stepper_result {
    double loss;      /* mean over the effective batch, summed in order of position */
    double loss_sum;  /* the same before the division */
    double grad_norm; /* before clipping */
} fv_stepper_result;

typedef struct fv_stepper fv_stepper;

/* The caller frees *out with fv_stepper_destroy. */
fv_status fv_stepper_create(const fv_stepper_config *config, fv_stepper **out);
void fv_stepper_destroy(fv_stepper *stepper); /* NULL is fine */

/* Samples of every pass but the last, which has the rest of the effective batch. */
int64_t fv_stepper_pass_samples(const fv_stepper *stepper);

fv_tape *fv_stepper_tape(const fv_stepper *stepper); /* what it records on, to be observed */

/* Blocks that passes compute again, decided by the first one, of *all. */
int64_t fv_stepper_recomputed(const fv_stepper *stepper, int64_t *all);

/* Memory of activations and their gradients: after two updates that of one pass. */
size_t fv_stepper_bytes(const fv_stepper *stepper);

/* Forward and backward of the n samples from position `first` of the effective batch on; passes come
 * in order.  index is the update's number (random keys).  pixels [n,H,W,3], labels [n], or targets
 * [n,classes] in their place where they are not NULL.
 * check_finite stops at the first op with a non-finite value and names it; otherwise only the losses
 * are looked at.  Errors: FV_ERR_NONFINITE, what ops give, and FV_ERR_NOMEM of the first pass when
 * mem_limit is not enough with all blocks computed again. */
typedef struct fv_stepper_pass {
    uint32_t index;
    int64_t first, n;
    float *pixels;   /* only read */
    int32_t *labels; /* only read */
    float *targets;  /* only read */
    bool check_finite;
} fv_stepper_pass;
fv_status fv_stepper_run(fv_stepper *stepper, const fv_stepper_pass *pass);

/* After the last pass: the losses and the gradient's norm, or FV_ERR_NONFINITE naming the first
 * parameter with a bad gradient.  Changes nothing. */
fv_status fv_stepper_judge(fv_stepper *stepper, fv_stepper_result *out);

/* Clips and applies the gradient, takes over new statistics (fv_tape_commit) and follows with the moving
 * average.  Cannot fail. */
void fv_stepper_commit(fv_stepper *stepper, double lr, const fv_stepper_result *result);

/* "auto", "f32" or "bf16" to what this machine does; other names are FV_ERR_CONFIG.  "auto" is bf16 where
 * the CPU has bf16 dot products; *emulated is set when bf16 was asked for where it has none. */
fv_status fv_precision_resolve(const char *precision, bool *bf16, bool *emulated);

#endif
