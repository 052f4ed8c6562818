/* reference_image.h - images that stand for "nothing to see here", in the model's normalised pixels. */
#ifndef FV_EVAL_SALIENCY_REFERENCE_IMAGE_H
#define FV_EVAL_SALIENCY_REFERENCE_IMAGE_H

#include "models/model.h"

typedef enum fv_reference {
    FV_REFERENCE_MEAN,  /* the mean colour: 0 */
    FV_REFERENCE_BLACK, /* (0 - mean) / std */
    FV_REFERENCE_BLUR   /* the image under a Gaussian of sigma 5 px cut to 11x11, edges continued */
} fv_reference;

/* image [H,W,3] -> out [H,W,3]. */
void fv_reference_image(fv_reference kind, const fv_model_input *input, const float *image,
                        int64_t H, int64_t W, float *out);

#endif
