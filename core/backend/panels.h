/* panels.h - sizes of the packed operands of fv_kernel()->product, after Goto and van de Geijn 2008
 * (doi:10.1145/1356052.1356053): panels of columns of B, and strips of rows of a transposed A. */
#ifndef FV_CORE_PANELS_H
#define FV_CORE_PANELS_H

#include "core/kernels/kernels.h"

/* Rows of a panel of fv_kernel()->panel columns: 16 KiB of 16, in the first cache while the rows of A go by, or
 * 64 KiB of 64, in the second. */
#define FV_PANEL_HEIGHT 256
#define FV_PANEL_FLOATS (FV_PANEL_HEIGHT * FV_PANEL_MOST)
#define FV_BLOCK_ROWS   192 /* rows of a block of strips: 192 KiB stay in the second cache */
#define FV_BLOCK_FLOATS ((int64_t)FV_BLOCK_ROWS * FV_PANEL_HEIGHT)

/* n rows of `width` floats, step apart, to the rows of a panel; its columns from width on stay as they are. */
void fv_panel_rows(int64_t n, int64_t width, const float *from, int64_t step, float *panel);

/* The m columns of a [k, m], whose rows are lda apart, as rows of A.  strips has room for whole strips; what is
 * beyond m stays as it is. */
void fv_pack_strips(int64_t m, int64_t k, const float *a, int64_t lda, float *strips);

#endif
