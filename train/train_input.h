/* train_input.h - what a training reads, as its options say: pixels, order and mixing of the batches of
 * an epoch.  The trainer works with these functions, and so does what shows its batches. */
#ifndef FV_TRAIN_TRAIN_INPUT_H
#define FV_TRAIN_TRAIN_INPUT_H

#include "core/settings.h"
#include "data/loader.h"
#include "models/model.h"
#include "train/mixup.h"

/* Pixel options win over the model's own: they are written to input, which travels with checkpoints,
 * and from there to preprocess; augment gets the rest.  FV_ERR_CONFIG. */
fv_status fv_train_pixels(const fv_settings *settings, fv_model_input *input,
                          fv_preprocess *preprocess, fv_augment *augment);

/* The order of an epoch over n samples, and which copy of each with --aug-repeats (else repeat may be
 * NULL and is not looked at). */
void fv_train_order(const fv_settings *settings, uint32_t epoch, int64_t effective_batch, int64_t n,
                    int64_t *order, uint8_t *repeat);
bool fv_train_repeats(const fv_settings *settings);

/* What is mixed.  FV_ERR_CONFIG: a range that is none, or an odd batch. */
fv_status fv_train_mixing(const fv_settings *settings, fv_mixup_config *out);

/* Does the loss compare with targets rather than labels? */
bool fv_train_has_targets(const fv_settings *settings, const fv_mixup_config *mixup);

typedef struct fv_train_place {
    int64_t epoch, step; /* step: updates before this one, from the start of the run */
} fv_train_place;

/* Mixes the images of a batch in place, which begins at an even position of its effective batch, and
 * makes its targets [batch->n, classes]. */
void fv_train_mix(const fv_settings *settings, const fv_mixup_config *mixup, fv_train_place place,
                  const fv_model_input *input, int64_t classes, const fv_batch *batch,
                  float *targets);

#endif
