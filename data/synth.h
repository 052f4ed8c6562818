/* synth.h - the built-in data set: textured shapes on cluttered backgrounds, with the box and the
 * pixels of the object, so that the place an explanation points to can be checked.
 *
 * A class is a shape.  Colours, texture, size, turn and place are drawn alike for all classes, and
 * smaller things lie about that belong to none, so counting colours does not help.
 *
 * On request one class gets a shortcut: a small marker on each of its images, which tells the class
 * without its shape.  A model trained on such a set can be asked how much of an explanation lies on
 * the marker, and what it says without it. */
#ifndef FV_DATA_SYNTH_H
#define FV_DATA_SYNTH_H

#include "data/dataset.h"
#include "data/image.h"

#include <stdbool.h>

#define FV_SYNTH_MAX_CLASSES 10

typedef struct fv_synth_config {
    int n_classes;          /* 2..10: the first n of disc, square, triangle, ... */
    int64_t size_px;        /* side, 32..512 */
    int64_t n_train, n_val; /* images in all; label = index % n_classes */
    uint64_t seed;
    bool has_shortcut; /* every image of the class `shortcut` carries a marker, in both splits */
    int shortcut;      /* 0..n_classes - 1; ignored without has_shortcut */
} fv_synth_config;

fv_status fv_synth_check(const fv_synth_config *config); /* FV_ERR_CONFIG */

const char *fv_synth_class_name(int label);

/* Draws one image without a file: image is reshaped to size_px x size_px, mask [size_px, size_px]
 * gets 255 on the object and 0 elsewhere (NULL: not wanted), box its tight box.  Without a marker: a
 * pure function of (config's n_classes, size_px and seed; validation; index). */
fv_status fv_synth_render(const fv_synth_config *config, bool validation, int64_t index,
                          fv_image *image, uint8_t *mask, fv_box *box);

/* Does image `index` carry a marker? */
bool fv_synth_is_marked(const fv_synth_config *config, int64_t index);

/* Pastes the marker of image `index` onto what fv_synth_render drew: a square of size_px / 8 pixels, a
 * chequerboard of 4 x 4 fields in two colours drawn as those of the clutter, wholly inside, anywhere,
 * also on the object.  mask [size_px, size_px] gets 255 on it and 0 elsewhere (NULL: not wanted).  All
 * other pixels stay; the numbers drawn serve nothing else. */
void fv_synth_mark(const fv_synth_config *config, bool validation, int64_t index, fv_image *image,
                   uint8_t *mask);

/* Writes an image folder:
 *     train/<class>/<class>_<index>.jpg|png   JPEG and PNG in turn
 *     train/boxes.csv                         name,left,top,right,bottom (right, bottom outside)
 *     masks/train/<class>/<class>_<index>.png 255 on the object
 *     validation/..., masks/validation/...    likewise
 *     synth.json                              the parameters
 * and with a shortcut, for the validation images of its class:
 *     clean/validation/<class>/<name>         the same image without the marker, encoded alike
 *     markers/validation/<class>/<name>.png   255 on the marker (<name> without its suffix)
 * The same parameters give the same bytes.  Everything is written to <folder>.tmp, then renamed: a
 * set is whole or not there.  An existing set of the same parameters is left alone (*written false,
 * written may be NULL); one of other parameters is FV_ERR_CONFIG, or replaced with force; any other
 * folder that is not empty is never touched. */
fv_status fv_synth_write(const char *folder, const fv_synth_config *config, bool force,
                         bool *written);

#endif
