/* cam.h - class activation maps of one layer: what its activations a_{c,u} and the gradients g_{c,u} of
 * the score there make of each position u. */
#ifndef FV_EVAL_SALIENCY_CAM_H
#define FV_EVAL_SALIENCY_CAM_H

#include "eval/saliency/explain_run.h"

/* a, g [n,C] of one image, positions of the grid only -> map [n]. */
typedef fv_status fv_cam_fn(fv_explain_run *run, const float *a, const float *g, int64_t n,
                            int64_t C, float *map);

/* fv_saliency_method.prepare; FV_ERR_CONFIG for more than one layer. */
fv_status fv_cam_prepare(fv_explain_run *run);

/* Fills the grids of all images.  A map that is zero everywhere has a warning that says why. */
fv_status fv_cam_run(fv_explain_run *run, fv_cam_fn *map);

#endif
