/* train_batches.h - the batches that updates of a training would see, bit for bit: for looking at what
 * augmentation does, and for comparing with other programs. */
#ifndef FV_TRAIN_TRAIN_BATCHES_H
#define FV_TRAIN_TRAIN_BATCHES_H

#include "core/report.h"
#include "train/train_input.h"

typedef struct fv_train_batches {
    int64_t n; /* images: updates x effective batch */
    int64_t effective_batch, classes;
    float *pixels;   /* [n, H, W, 3], normalised, mixed if the training mixes */
    int32_t *labels; /* [n], of the first image of a mixed pair */
    int64_t *index;  /* [n], into dataset */
    float *targets;  /* [n, classes]; NULL when labels are all that the loss needs */
    fv_preprocess preprocess;
    fv_dataset *dataset;
    fv_model *model; /* without values */
} fv_train_batches;

typedef struct fv_train_batches_range {
    int64_t epoch; /* from 0 */
    int64_t first; /* updates of the epoch before the range */
    int64_t count; /* updates */
} fv_train_batches_range;

/* Loads the updates first .. first + count - 1 of an epoch as a training with these settings does.
 * report may be NULL.  End with fv_train_batches_free, also after a failure.  Errors: as
 * fv_trainer_create; FV_ERR_CONFIG: the epoch has fewer updates. */
fv_status fv_train_batches_load(const fv_settings *settings, fv_train_batches_range range,
                                const fv_report *report, fv_train_batches *out);
void fv_train_batches_free(fv_train_batches *batches);

#endif
