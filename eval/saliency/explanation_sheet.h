/* explanation_sheet.h - maps of several methods side by side, an image a row.
 *
 *                        image       lrp         gradcam
 *     photo              [picture]   [map]       [map]
 *     bee                             low  high   low  high
 *     p 0.930
 *
 * Maps are read back from the raw files (explanation_file.h), so that it does not matter when they were
 * computed: the same files give the same bytes.  A sheet holds its painted rows and nothing else; it is
 * emptied and used again for image after image. */
#ifndef FV_EVAL_SALIENCY_EXPLANATION_SHEET_H
#define FV_EVAL_SALIENCY_EXPLANATION_SHEET_H

#include "eval/saliency/explanation_file.h"

typedef struct fv_explanation_sheet fv_explanation_sheet;

/* An empty sheet for at most max_rows images.  methods [n_methods], n_methods >= 1, and looks are
 * borrowed.  The caller frees *out with fv_explanation_sheet_destroy; NULL on error (FV_ERR_NOMEM). */
fv_status fv_explanation_sheet_create(const fv_saliency_choice *methods, int n_methods,
                                      const fv_explanation_looks *looks, int64_t max_rows,
                                      fv_explanation_sheet **out);
void fv_explanation_sheet_destroy(fv_explanation_sheet *sheet); /* NULL is fine */

/* Appends an image: the picture that the model saw and the files [n_methods] of its maps.  name is the
 * first line of the row's title, NULL: none.  A failure leaves the rows as they were.
 * Errors: those of fv_safetensors_open, FV_ERR_FORMAT (no explanation), FV_ERR_SHAPE (a map of another
 * size than the picture, or the sheet is full), FV_ERR_NONFINITE, FV_ERR_NOMEM. */
fv_status fv_explanation_sheet_add(fv_explanation_sheet *sheet, const fv_image *picture,
                                   const char *name, const fv_explanation_files files[]);

int64_t fv_explanation_sheet_rows(const fv_explanation_sheet *sheet);
void fv_explanation_sheet_clear(fv_explanation_sheet *sheet); /* no rows; keeps its memory */

/* Writes the rows as a PNG, whole or not at all.  Errors: those of fv_picture_grid_draw and
 * fv_image_save_png. */
fv_status fv_explanation_sheet_save(const fv_explanation_sheet *sheet, const char *path);

#endif
