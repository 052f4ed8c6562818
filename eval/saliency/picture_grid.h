/* picture_grid.h - contact sheets: pictures of one size in rows and columns (methods x images, methods x
 * classes), with titles and colour bars, on white.
 *
 *                  column title   column title
 *     row title      [picture]      [picture]    | high
 *                                                | middle    the row's bar
 *                                                | low
 *                   low mid high   low mid high              the cells' bars
 *
 * Small pictures are enlarged by a whole factor.  Titles may have several lines; those that are wider
 * than a cell are broken, and cut where that does not help (fv_text_wrap).
 * The same input gives the same bytes. */
#ifndef FV_EVAL_SALIENCY_PICTURE_GRID_H
#define FV_EVAL_SALIENCY_PICTURE_GRID_H

#include "eval/saliency/heatmap.h"

#define FV_PICTURE_GRID_CELL_PX     224
#define FV_PICTURE_GRID_MIN_CELL_PX 128 /* two numbers fit below a picture */

/* Everything is borrowed. */
typedef struct fv_picture_grid {
    int64_t n_rows, n_columns;
    const fv_image *const *images;    /* [n_rows, n_columns], one size; NULL: an empty cell */
    const char *const *row_titles;    /* [n_rows], NULL: none */
    const char *const *column_titles; /* [n_columns], NULL: none */
    const fv_heat_style *row_bars;  /* [n_rows], NULL: none; one without colour map: not this row */
    const fv_heat_style *cell_bars; /* [n_rows, n_columns], likewise */
    int64_t cell_px;                /* least shorter side of a cell; 0: FV_PICTURE_GRID_CELL_PX */
} fv_picture_grid;

/* Where things are, in pixels.  Cell (i, j) has its corner at (top + i step_y, left + j step_x). */
typedef struct fv_picture_grid_layout {
    int64_t factor;                   /* of enlargement */
    int64_t text_scale, number_scale; /* of titles, of the numbers at the cells' bars */
    int64_t gap;                      /* around the sheet and between cells */
    int64_t cell_height, cell_width;
    int64_t top, left, step_y, step_x;
    int64_t height, width; /* of the sheet */
} fv_picture_grid_layout;

/* FV_ERR_SHAPE: no rows or columns, no picture, or pictures of several sizes. */
fv_status fv_picture_grid_measure(const fv_picture_grid *grid, fv_picture_grid_layout *out);

/* Draws the sheet; out is reshaped.  Also FV_ERR_UNSUPPORTED: larger than an image may be;
 * FV_ERR_NOMEM. */
fv_status fv_picture_grid_draw(const fv_picture_grid *grid, fv_image *out);

#endif
