/* transform.h - from a decoded image to a model's input [H,W,3], f32.
 *
 * Evaluation equals timm's and torchvision's pipeline on Pillow images bit for bit.  Training
 * crops, resamples and flips by numbers that depend on the key only: (seed, epoch, sample index).
 * */
#ifndef FV_DATA_TRANSFORM_H
#define FV_DATA_TRANSFORM_H

#include "core/rng.h"
#include "data/rand_augment.h"
#include "data/resize.h"

/* What a model expects. */
typedef struct fv_preprocess {
    int64_t img_h, img_w;
    float mean[3], std[3];          /* of pixels in 0..1 */
    fv_interpolation interpolation; /* bicubic or bilinear */
    double crop_pct;                /* in (0, 1]: centre crop / resized shorter side */
    bool exif_orientation;          /* turn JPEGs as exif.h says; timm and torchvision do not */
} fv_preprocess;

/* What random erasing fills with, in units of normalised pixels. */
typedef enum fv_erase_mode {
    FV_ERASE_PIXEL, /* normal noise per value */
    FV_ERASE_RAND,  /* one colour of normal noise */
    FV_ERASE_CONST, /* the mean colour: 0 */
} fv_erase_mode;

/* Training augmentation. */
typedef struct fv_augment {
    double scale[2];     /* area of the crop over that of the image, uniform in this range */
    double ratio[2];     /* width over height of the crop, log-uniform in this range */
    double hflip, vflip; /* probabilities */
    fv_interpolation interpolation;
    fv_rand_augment aa;
    double
        color_jitter; /* brightness, contrast and saturation by factors in 1 -+ this, from 0 on */
    double color_jitter_prob; /* probability of it */
    double grayscale_prob;
    double reprob; /* probability of random erasing */
    fv_erase_mode remode;
    int64_t recount; /* rectangles per image */
} fv_augment;

/* timm's crop, flip and resampling: 0.08..1, 3/4..4/3, hflip 0.5, random; the rest off. */
void fv_augment_init(fv_augment *augment);

/* "pixel", "rand", "const"; FV_ERR_CONFIG otherwise. */
fv_status fv_erase_mode_parse(const char *name, fv_erase_mode *out);

/* FV_ERR_CONFIG with the offending value. */
fv_status fv_preprocess_check(const fv_preprocess *pre);
fv_status fv_augment_check(const fv_augment *augment);

/* Decodes, or reads and decodes, an image as pre asks for: fv_image_decode_into and fv_image_load, and the
 * turn of exif_orientation.  scratch is as in fv_image_orient.  Their errors. */
fv_status fv_preprocess_decode(const fv_preprocess *pre, const uint8_t *bytes, size_t n_bytes,
                               fv_image *scratch, fv_image *image);
fv_status fv_preprocess_load(const fv_preprocess *pre, const char *path, fv_image **out);

/* Reused memory of one thread; a zeroed struct is ready. */
typedef struct fv_workspace {
    fv_image image;
    fv_resize_scratch resize;
    fv_buffer copy;
} fv_workspace;
void fv_workspace_free(fv_workspace *ws);

/* Shorter side to s = floor(size / crop_pct), longer side to floor(s * long / short), centre crop
 * (offset rounded half to even), (v/255 - mean) / std in float32.  For an input that is not square
 * the image is scaled to cover (floor(img_h / crop_pct), floor(img_w / crop_pct)) instead.  An
 * image that already has the right size is not resampled.  out holds img_h * img_w * 3 values.
 * Errors: FV_ERR_CONFIG, FV_ERR_SHAPE, FV_ERR_UNSUPPORTED, FV_ERR_NOMEM.  Thread-safe. */
fv_status fv_transform_eval(const fv_preprocess *pre, const fv_image *image, float *out);
fv_status fv_transform_eval_with(const fv_preprocess *pre, const fv_image *image, fv_workspace *ws,
                                 float *out);

/* The same without the normalisation: the RGB8 pixels that the model sees, to draw maps upon.  out
 * is reshaped to img_h x img_w. */
fv_status fv_transform_eval_image(const fv_preprocess *pre, const fv_image *image,
                                  fv_resize_scratch *scratch, fv_image *out);

/* Where evaluation looks: the rectangle of the source image, in pixels and fractions of them, that
 * becomes the model's input.  Boxes and masks of the source map through it. */
typedef struct fv_view {
    double top, left, height, width;
} fv_view;
fv_status fv_transform_eval_view(const fv_preprocess *pre, int64_t height, int64_t width,
                                 fv_view *out);

/* Every transform of transform_list.h in its order, those of pixels before the normalisation and those
 * of values behind it.  key: seed, FV_RNG_AUGMENT, epoch and sample index; its layer entry is replaced
 * by each transform's own. */
fv_status fv_transform_train(const fv_preprocess *pre, const fv_augment *augment, fv_rng_key key,
                             const fv_image *image, float *out);
fv_status fv_transform_train_with(const fv_preprocess *pre, const fv_augment *augment,
                                  fv_rng_key key, const fv_image *image, fv_workspace *ws,
                                  float *out);

/* out[i] = (pixels[i] / 255 - mean[i % 3]) / std[i % 3] */
void fv_normalize(const fv_preprocess *pre, const fv_image *image, float *out);

#endif
