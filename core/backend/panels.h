/* panels.h - sizes of the packed operands of our products, after Goto and van de Geijn 2008
 * (doi:10.1145/1356052.1356053): panels of columns of B, and strips of rows of a transposed A. */
#ifndef FV_CORE_PANELS_H
#define FV_CORE_PANELS_H

#include "core/kernels/kernels.h"

/* Rows of a panel of fv_kernel()->panel columns: 16 KiB of 16, in the first cache while the rows of A go by, or
 * 64 KiB of 64, in the second. */
#define FV_PANEL_HEIGHT 256
#define FV_PANEL_FLOATS (FV_PANEL_HEIGHT * FV_PANEL_MOST)

/* Of fv_kernel()->product_bf16: columns of a panel, what its tiles take at once; and rows of one that is packed
 * for a sum over rows, 16 KiB. */
#define FV_PAIRS_WIDTH  64
#define FV_PAIRS_HEIGHT 128

/* n rows of `width` floats, step apart, to the rows of a panel; its columns from width on stay as they are. */
void fv_panel_rows(int64_t n, int64_t width, const float *from, int64_t step, float *panel);

/* The m columns of a [k, m], whose rows are lda apart, as rows of A.  strips has room for whole strips; what is
 * beyond m stays as it is. */
void fv_pack_strips(int64_t m, int64_t k, const float *a, int64_t lda, float *strips);

#endif
