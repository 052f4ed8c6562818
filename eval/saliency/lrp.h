/* lrp.h - layer-wise relevance propagation of a recorded pass (Bach et al. 2015), for the method of that
 * name and for methods that go on from its result. */
#ifndef FV_EVAL_SALIENCY_LRP_H
#define FV_EVAL_SALIENCY_LRP_H

#include "eval/saliency/composite.h"
#include "eval/saliency/explain_run.h"

/* A relative |R| at some node above which a map says little: terms of opposite sign were blown up. */
#define FV_LRP_AMPLIFIED 1e3

/* Propagates the score of every image of the recorded pass.  relevance [B,H,W,3]; the account of each
 * image goes to run->out, with a warning where relevance was amplified.  Errors: FV_ERR_CONFIG (an
 * unknown composite), FV_ERR_NOMEM, those of the ops. */
fv_status fv_lrp(fv_explain_run *run, const fv_composite *composite,
                 const fv_composite_options *options, float *relevance);

#endif
