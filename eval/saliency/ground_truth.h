/* ground_truth.h - where the object lies in the pixels that a model sees. */
#ifndef FV_EVAL_SALIENCY_GROUND_TRUTH_H
#define FV_EVAL_SALIENCY_GROUND_TRUTH_H

#include "data/dataset.h"
#include "data/transform.h"

/* A pixel of the evaluated view [img_h,img_w] is inside (255) when its centre lies on the sample's mask,
 * or, without a mask, in one of its boxes.  height, width: of the sample's decoded image.  *known is
 * false for a sample with neither, and when nothing of the object is in view; mask is then all zero.
 * Errors: those of reading the mask, with its path; FV_ERR_FORMAT: a mask of another size.  With
 * exif_orientation boxes and masks are of the picture as it is shown, not as it is stored. */
fv_status fv_ground_truth(const fv_sample *sample, const fv_preprocess *pre, int64_t height,
                          int64_t width, uint8_t *mask, bool *known);

/* The same from the path of a mask alone; NULL: not known. */
fv_status fv_ground_truth_mask(const char *path, const fv_preprocess *pre, int64_t height,
                               int64_t width, uint8_t *mask, bool *known);

#endif
