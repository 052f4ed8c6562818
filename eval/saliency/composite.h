/* composite.h - a composite picks the LRP rule of every node by layer type and position. */
#ifndef FV_EVAL_SALIENCY_COMPOSITE_H
#define FV_EVAL_SALIENCY_COMPOSITE_H

#include "core/op.h"

typedef struct fv_composite {
    const char *name;
    fv_rule rule; /* of every node; the seed has its kind: GI = one-hot, R = the logit */
} fv_composite;

/* attnlrp: gradient form of AttnLRP (Achtibat et al. 2024): gates and norms constant, half of every
 *          product of activations to each factor.
 * cplrp:   attention matrices constant as well (Ali et al. 2022, conservative propagation).
 * epsilon: the epsilon rule (1e-6) at every op, relevance form. */
extern const fv_composite fv_composites[];
extern const char *const fv_composite_names[]; /* NULL-terminated */

const fv_composite *fv_composite_find(const char *name); /* NULL: unknown */

/* The fv_rule_fn of a composite, which is its user argument. */
void fv_composite_pick(const fv_var *y, void *composite, fv_rule *rule);

#endif
