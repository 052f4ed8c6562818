/* metric_randomisation.h - model parameter randomisation test (Adebayo et al. 2018, "Sanity checks for
 * saliency maps"): a map should change when the weights it explains become random.
 *
 * The model's stages are re-initialised from the head down, all so far (cascade) or each alone; after
 * every one the map for the same class is compared with that of the trained model.  Similarities that
 * stay high say that the method does not look at those weights.  What a stage is and how it is
 * re-initialised is the caller's business. */
#ifndef FV_EVAL_SALIENCY_METRIC_RANDOMISATION_H
#define FV_EVAL_SALIENCY_METRIC_RANDOMISATION_H

#include "eval/saliency/map_similarity.h"

/* Re-initialises stage 0, 1 ... (called in order) and explains the same image and class: map [H,W]. */
typedef fv_status fv_randomised_map_fn(void *user, int64_t stage, float *map);

/* Compares the map after each of n_stages stages with the original [H,W]; out [n_stages].
 * Errors: the callback's, those of fv_map_compare. */
fv_status fv_randomisation_compare(const float *original, int64_t H, int64_t W, int64_t n_stages,
                                   fv_randomised_map_fn *randomised, void *user,
                                   fv_map_similarity *out);

#endif
