/* optimizer.h - turns gradients into new parameters, in one pass over the slabs.
 *
 * Weight decay follows timm's groups: none for tensors of rank <= 1, for names that end in ".bias"
 * and for those the model marks (position embeddings, class tokens).  Every element is updated on its
 * own, so the result does not depend on threads.  The bf16 copy is written in the same pass. */
#ifndef FV_TRAIN_OPTIMIZER_H
#define FV_TRAIN_OPTIMIZER_H

#include "core/param.h"

#define FV_OPTIMIZER_STATES 2

typedef struct fv_optimizer fv_optimizer;
typedef struct fv_optimizer_kind fv_optimizer_kind;

/* Values below zero mean the optimiser's own default; start from fv_optimizer_config_init. */
typedef struct fv_optimizer_config {
    const char *name; /* "adamw", "sgd" */
    double weight_decay;
    double beta1, beta2, eps; /* adamw */
    double momentum;          /* sgd */
    bool nesterov;            /* sgd */
    const double *lr_scale; /* of each parameter of the list, NULL: 1; need not outlive the call */
} fv_optimizer_config;

void fv_optimizer_config_init(fv_optimizer_config *config); /* adamw, no decay, Nesterov */

/* State for the trainable parameters of a list that has gradients and outlives *out.  The caller
 * frees it with fv_optimizer_destroy.  Errors: FV_ERR_CONFIG (unknown name), FV_ERR_NOMEM. */
fv_status fv_optimizer_create(const fv_optimizer_config *config, fv_params *params,
                              fv_optimizer **out);
void fv_optimizer_destroy(fv_optimizer *optimizer); /* NULL is fine */

/* One update with every gradient multiplied by grad_scale.  Allocates nothing, cannot fail. */
void fv_optimizer_step(fv_optimizer *optimizer, double lr, float grad_scale);

int64_t fv_optimizer_updates(const fv_optimizer *optimizer); /* done so far */
bool fv_optimizer_decays(const fv_param *param);             /* timm's groups */

/* Writes or reads the state as tensors "<state>.<parameter>" and the update count as "step" (I64).
 * After a failed load the state is undefined. */
fv_status fv_optimizer_save(const fv_optimizer *optimizer, const char *path);
fv_status fv_optimizer_load(fv_optimizer *optimizer, const char *path);

/* The factor of gradient clipping by norm: min(1, max_norm / (norm + 1e-6)); max_norm 0 = none. */
float fv_clip_factor(double norm, double max_norm);

#endif
