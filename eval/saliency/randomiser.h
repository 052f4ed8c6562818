/* randomiser.h - a model whose weights become random stage by stage, from the head down: the model side of
 * the parameter randomisation test (Adebayo et al. 2018; metric_randomisation.h).
 *
 * Stage 0 is the classifier with the norms around it, then come the model's features from the last to the
 * first ("blocks.11", "stages.3" ...), and "stem", all that is in front of them.  Values are drawn by the
 * parameters' own initialisers; statistics of batch norms are reset. */
#ifndef FV_EVAL_SALIENCY_RANDOMISER_H
#define FV_EVAL_SALIENCY_RANDOMISER_H

#include "models/model.h"

typedef struct fv_randomiser fv_randomiser;

/* Keeps the model's values.  The caller destroys *out, which restores them; the model outlives it.
 * FV_ERR_NOMEM. */
fv_status fv_randomiser_create(fv_model *model, uint64_t seed, fv_randomiser **out);
void fv_randomiser_destroy(fv_randomiser *r); /* NULL is fine */

int64_t fv_randomiser_stages(const fv_randomiser *r);
const char *fv_randomiser_name(const fv_randomiser *r, int64_t stage);

void fv_randomiser_apply(fv_randomiser *r, int64_t stage); /* makes one stage's values random */
void fv_randomiser_restore(fv_randomiser *r);              /* the model's own values, all of them */

#endif
