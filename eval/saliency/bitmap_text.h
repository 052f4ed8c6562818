/* bitmap_text.h - text in pictures, in the bitmap font of stb_easy_font: no font file, the same bytes
 * everywhere.
 *
 * Letters are FV_TEXT_PX high from the top of a capital to the bottom of a g, times a whole scale.
 * Printable ASCII only: any other character (UTF-8) is a question mark. */
#ifndef FV_EVAL_SALIENCY_BITMAP_TEXT_H
#define FV_EVAL_SALIENCY_BITMAP_TEXT_H

#include "data/image.h"

#define FV_TEXT_PX    9
#define FV_TEXT_BYTES 256 /* room for a line that was made to fit */

/* Width in pixels, with the gap after the last letter. */
int64_t fv_text_width(const char *text, int64_t scale);

/* text, or as much of it as leaves room for ".." within max_px and out; "" when not even that fits. */
void fv_text_fit(const char *text, int64_t scale, int64_t max_px, char out[FV_TEXT_BYTES]);

#define FV_TEXT_LINES       4
#define FV_TEXT_LINE_GAP_PX 2

typedef struct fv_text_block {
    int n;
    char line[FV_TEXT_LINES][FV_TEXT_BYTES];
} fv_text_block;

/* text in lines of at most max_px: broken at newlines, and where a line is too long behind its last
 * space, colon, comma or underscore that fits.  What still does not fit is cut as by fv_text_fit; lines
 * beyond FV_TEXT_LINES are left out. */
void fv_text_wrap(const char *text, int64_t scale, int64_t max_px, fv_text_block *out);

/* Of a block of lines, in pixels. */
int64_t fv_text_block_width(const fv_text_block *block, int64_t scale);
int64_t fv_text_block_height(const fv_text_block *block, int64_t scale);

/* Writes from the top left corner (x, y); what lies outside the image is cut off. */
void fv_text_draw(fv_image *image, int64_t x, int64_t y, const char *text, int64_t scale,
                  const uint8_t rgb[3]);

#endif
