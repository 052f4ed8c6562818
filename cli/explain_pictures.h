/* explain_pictures.h - what fovea explain draws of several maps: <stem>_grid.png with all maps of an image,
 * and sheet.png with the first images of a call. */
#ifndef FV_CLI_EXPLAIN_PICTURES_H
#define FV_CLI_EXPLAIN_PICTURES_H

#include "core/settings.h"
#include "core/text.h"
#include "eval/saliency/explanation_sheet.h"

#define FV_EXPLAIN_SHEET_ROWS 16

/* A zeroed one may be closed. */
typedef struct fv_explain_pictures {
    const char *folder;
    int n_methods;
    fv_explanation_looks looks;
    fv_explanation_sheet *grid;  /* NULL: one method, no grids */
    fv_explanation_sheet *sheet; /* NULL: one image, or written already */
    bool has_sheet;              /* it was written */
} fv_explain_pictures;

/* Reads --colormap, --normalise and --shared-scale; methods [n_methods] are borrowed.  out stays where it
 * is until it is closed. */
fv_status fv_explain_pictures_open(const fv_settings *settings, const fv_saliency_choice *methods,
                                   int n_methods, int64_t n_images, fv_explain_pictures *out);
void fv_explain_pictures_close(fv_explain_pictures *pictures);

/* Draws the grid of an image from the files [n_methods] of its maps and puts its path, in arena, into
 * them; the sheet is written as soon as it is full. */
fv_status fv_explain_pictures_add(fv_explain_pictures *pictures, const fv_image *picture,
                                  const char *stem, fv_arena *arena, fv_explanation_files files[]);

/* After the last image: writes a sheet of fewer rows.  *path, in arena: the sheet of this call, NULL if
 * there is none. */
fv_status fv_explain_pictures_end(fv_explain_pictures *pictures, fv_arena *arena,
                                  const char **path);

/* Methods, colour maps and ranges as a part of --help. */
void fv_explain_help(fv_text *text);

#endif
