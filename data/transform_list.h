/* transform_list.h - the augmentations, in the order they are applied.  A new one is a file
 * transform_<name>.c with its descriptor and one line here. */
#ifndef FV_DATA_TRANSFORM_LIST_H
#define FV_DATA_TRANSFORM_LIST_H

#include "data/transform.h"

#include <stdbool.h>

#define FV_TRANSFORM_LIST(X) \
    X(resized_crop) X(hflip) X(vflip) X(rand_augment) X(color_jitter) X(grayscale) X(erase)

/* What a transform may read and write.  The first one (resized_crop) turns the source into an image
 * of the model's size; the others change that image in place. */
typedef struct fv_transform_state {
    const fv_preprocess *pre;
    const fv_augment *augment;
    fv_rng_key key;         /* a stream of this transform alone: draws start at 0 */
    const fv_image *source; /* as decoded */
    fv_image *image;        /* the model's size, once resized_crop has run */
    fv_resize_scratch *scratch;
    fv_buffer *copy; /* memory for a copy of the image */
    float *values;   /* [img_h, img_w, 3], normalised: what finish changes */
} fv_transform_state;

typedef struct fv_transform {
    const char *name; /* also names its stream of random numbers */
    const char *summary;
    fv_status (*apply)(fv_transform_state *state);  /* of pixels; NULL: nothing */
    fv_status (*finish)(fv_transform_state *state); /* of values; NULL: nothing */
} fv_transform;

#define FV_X(name) extern const fv_transform fv_transform_##name;
FV_TRANSFORM_LIST(FV_X)
#undef FV_X

/* resized_crop's choice of rectangle, for tests and statistics. */
fv_crop fv_resized_crop_draw(const fv_augment *augment, const fv_rng_key *key, int64_t height,
                             int64_t width);

/* What color_jitter does to an image; false: nothing. */
typedef struct fv_color_jitter {
    int order[3];     /* 0 brightness, 1 contrast, 2 saturation */
    double factor[3]; /* of each of them, as in data/pixels.h */
} fv_color_jitter;
bool fv_color_jitter_draw(const fv_augment *augment, const fv_rng_key *key, fv_color_jitter *out);

/* Rectangle i of random erasing; false: none fits. */
bool fv_erase_draw(const fv_augment *augment, const fv_rng_key *key, int64_t i, int64_t height,
                   int64_t width, fv_crop *out);

#endif
