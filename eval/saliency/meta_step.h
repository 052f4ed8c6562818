/* meta_step.h - explaining the network that one step of descent on the image would make of it
 * (Rebuffi et al. 2020, section 5):
 *     theta' = theta - lr * d CE(f(x; theta), target) / d theta
 * Plain descent on all trainable parameters, batch norms on their running statistics.  No second-order
 * terms: what follows sees theta' as given. */
#ifndef FV_EVAL_SALIENCY_META_STEP_H
#define FV_EVAL_SALIENCY_META_STEP_H

#include "eval/saliency/explain_run.h"

typedef fv_status fv_meta_then(fv_explain_run *run, void *arg);

/* Takes the step on one image [1,H,W,3], calls then with the changed model, and puts every value back,
 * bit for bit, whatever happened.  The model's gradients are overwritten.  A negative lr climbs: what
 * would make the class less likely.  Nobody else may use the model meanwhile.
 * The model keeps gradients: the method says that it trains.  FV_ERR_CONFIG: the model drops paths at
 * random in training. */
fv_status fv_meta_step(fv_explain_run *run, const float *pixels, int64_t target, double lr,
                       fv_meta_then *then, void *arg);

#endif
