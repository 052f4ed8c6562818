/* mixup.h - training on pairs of images (timm's Mixup, mode "batch").
 *
 * Samples 2k and 2k + 1 of the effective batch are a pair; each becomes
 *     mixup   lam a + (1 - lam) b                      (Zhang et al. 2018)
 *     cutmix  a with a rectangle of b in it, lam = the share of a   (Yun et al. 2019)
 * with one lam and one rectangle for the whole batch; the targets are mixed with lam.  timm pairs sample
 * i with n - 1 - i: in a shuffled order that is the same, and here a pair never falls into two passes.
 * What is drawn depends on (seed, update) alone. */
#ifndef FV_TRAIN_MIXUP_H
#define FV_TRAIN_MIXUP_H

#include "core/rng.h"
#include "core/status.h"

#include <stdbool.h>

/* timm's options of the same names.  All zero: nothing is mixed. */
typedef struct fv_mixup_config {
    double mixup, cutmix; /* alpha of lam ~ Beta(alpha, alpha); 0 = never */
    double
        cutmix_minmax[2]; /* sides of the rectangle over those of the image, uniform in this range,
                                in place of lam; 0 0 = not so */
    double prob;          /* of mixing a batch at all */
    double switch_prob;   /* of cutmix where both are on */
} fv_mixup_config;

bool fv_mixup_enabled(const fv_mixup_config *config);

/* What happens to one batch.  lam 1: nothing. */
typedef struct fv_mix {
    bool cut;
    double lam;
    int64_t top, left, bottom,
        right; /* cutmix: rows top .. bottom - 1, columns left .. right - 1 */
} fv_mix;

/* key: seed, FV_RNG_MIX and update.  Height and width of the images. */
fv_mix fv_mixup_draw(const fv_mixup_config *config, fv_rng_key key, int64_t height, int64_t width);

/* Mixes two images [height, width, 3] with each other, in place. */
void fv_mix_pair(const fv_mix *mix, int64_t height, int64_t width, float *a, float *b);

/* Mixes the pairs among n images, which begin at an even position; a last one without partner stays. */
void fv_mix_images(const fv_mix *mix, int64_t n, int64_t height, int64_t width, float *images);

/* Targets [n, classes] of the same images: lam onehot(own) + (1 - lam) onehot(partner's), where onehot is
 * smoothed: 1 - s + s/K for the class, s/K for the others. */
void fv_mix_targets(const fv_mix *mix, int64_t n, const int32_t *labels, int64_t classes,
                    double smoothing, float *targets);

#endif
