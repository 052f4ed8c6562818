/* exif.h - the orientation that a camera wrote into a JPEG (Exif 2.3, tag 0x0112). */
#ifndef FV_DATA_EXIF_H
#define FV_DATA_EXIF_H

#include "data/image.h"

/* 1 to 8: the first row and column of the stored picture are shown at 1 top left, 2 top right,
 * 3 bottom right, 4 bottom left, 5 left top, 6 right top, 7 right bottom, 8 left bottom.  1 for files that
 * say nothing, nothing valid, or are no JPEGs.  Reads the markers in front of the first scan only. */
int fv_exif_orientation(const uint8_t *bytes, size_t n_bytes);

/* Turns the picture to how it is to be shown; scratch is memory to keep from call to call, and what
 * is in it is lost.  5 to 8 swap height and width.  Errors: FV_ERR_NOMEM. */
fv_status fv_image_orient(fv_image *image, int orientation, fv_image *scratch);

#endif
