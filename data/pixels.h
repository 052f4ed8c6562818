/* pixels.h - Pillow's point operations, enhancements and affine transforms of RGB pictures, to the bit.
 *
 * They work in place; those that need a copy of the picture take a buffer for it.  Thread-safe. */
#ifndef FV_DATA_PIXELS_H
#define FV_DATA_PIXELS_H

#include "data/buffer.h"
#include "data/image.h"
#include "data/resize.h"

/* ImageOps */
void fv_pixels_invert(fv_image *image);
void fv_pixels_posterize(fv_image *image, int bits);              /* keeps the upper 0..8 bits */
void fv_pixels_solarize(fv_image *image, int threshold);          /* inverts from there on */
void fv_pixels_solarize_add(fv_image *image, int add, int below); /* timm's: brightens the dark */
void fv_pixels_autocontrast(fv_image *image); /* stretches each channel over 0..255 */
void fv_pixels_equalize(fv_image *image);     /* evens out each channel's histogram */

/* ImageEnhance: 1 changes nothing, 0 is grey, uniform grey, black or smoothed. */
void fv_pixels_color(fv_image *image, double factor);
void fv_pixels_contrast(fv_image *image, double factor);
void fv_pixels_brightness(fv_image *image, double factor);
fv_status fv_pixels_sharpness(fv_image *image, double factor, fv_buffer *copy);

/* Image.transform(AFFINE): pixel (x, y) becomes what was at (m0 x + m1 y + m2, m3 x + m4 y + m5), centres
 * of pixels at halves, fill outside.  FV_ERR_CONFIG: random interpolation; FV_ERR_NOMEM. */
typedef struct fv_affine {
    double m[6];
    fv_interpolation interpolation;
    uint8_t fill[3];
} fv_affine;
fv_status fv_pixels_affine(fv_image *image, const fv_affine *affine, fv_buffer *copy);

/* Image.rotate's matrix: counter-clockwise around the centre. */
void fv_rotation(double degrees, int64_t height, int64_t width, double m[6]);

#endif
