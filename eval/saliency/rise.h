/* rise.h - which random masks keep the class probable (Petsiuk et al. 2018, "RISE: randomized input
 * sampling for explanation of black-box models", equation 6):
 *     map = 1 / (N p) sum_k softmax_t(f(x * m_k)) m_k,
 * x normalised, so that what is masked becomes the mean colour.  A mask is a grid of cells that are 1
 * with probability p, enlarged bilinearly to cells of ceil(H/s) x ceil(W/s) pixels and one more of them
 * each way, from which a random crop is taken. */
#ifndef FV_EVAL_SALIENCY_RISE_H
#define FV_EVAL_SALIENCY_RISE_H

#include "eval/saliency/explain_run.h"

/* Rows and columns of the enlarged grid. */
int64_t fv_rise_side(int64_t cells, int64_t side);

/* Mask [H,W] of a grid [cells,cells], cropped at (dy, dx), each below a cell's size.  room
 * [fv_rise_side(cells,H), fv_rise_side(cells,W)]. */
void fv_rise_mask(const float *grid, int64_t cells, int64_t dy, int64_t dx, int64_t H, int64_t W,
                  float *room, float *mask);

/* The map [H,W] of image b with masks that are 1 with probability p: given ones [n,H,W], or, where masks
 * is NULL, drawn ones of cells x cells, keyed by (run->seed, k), the same for every image. */
fv_status fv_rise_map(fv_explain_run *run, int64_t b, int64_t n, int64_t cells, double p,
                      const float *masks, float *map);

#endif
