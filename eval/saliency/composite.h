/* composite.h - a composite picks the LRP rule of every node by layer type and position.
 *
 *     first      the first affine op in forward order
 *     conv       convolutions, those of 1x1 pixels that are computed as linear layers too: an affine op
 *                whose weight has four axes
 *     depthwise  convolutions of each channel by itself
 *     linear     other affine ops
 * Everything else follows the base rule.  Where the input of an affine op in R form goes to a batch norm
 * alone, the two are one op (relevance.h, fv_rule.folded).  Ops that only move elements work in the form
 * that their reader sent, so that the relevance of a first rule reaches the image as it is. */
#ifndef FV_EVAL_SALIENCY_COMPOSITE_H
#define FV_EVAL_SALIENCY_COMPOSITE_H

#include "core/op.h"

/* The rule of one type of affine op. */
typedef struct fv_layer_rule {
    fv_signal_kind kind; /* GI: the gradient form, epsilon -> 0 */
    fv_affine_kind affine;
    float gamma;
} fv_layer_rule;

typedef struct fv_composite {
    const char *name, *summary;
    fv_rule base; /* the seed has its kind: GI = one-hot, R = the logit */
    fv_layer_rule first, conv, depthwise, linear;
} fv_composite;

extern const fv_composite fv_composites[];
extern const char *const fv_composite_names[]; /* NULL-terminated */

const fv_composite *fv_composite_find(const char *name); /* NULL: unknown */
fv_signal_kind fv_composite_kind(const fv_composite *composite);

/* What may be asked of a composite.  Start from fv_composite_defaults. */
typedef struct fv_composite_options {
    float gamma_conv,
        gamma_linear; /* where the composite has a gamma rule; gamma_conv of the first op too */
    float epsilon;    /* of all R rules */
    fv_stab_kind stabiliser;
    bool zero_bias;          /* biases take nothing of affine ops in R form */
    bool constant_attention; /* CP-LRP */
    bool identity_norm;      /* layer norms pass relevance */
    bool uniform_gate;       /* gates of squeeze-excitation take half */
    const float *low,
        *high; /* [3] smallest and largest value of a normalised pixel, for the box rule;
                                kept by the composite, not copied */
} fv_composite_options;
fv_composite_options fv_composite_defaults(const fv_composite *composite);

/* The composite with other settings.  FV_ERR_CONFIG: a negative gamma or epsilon, a rule for conv,
 * depthwise or linear whose relevance is not proportional to the input. */
fv_status fv_composite_make(const fv_composite *composite, const fv_composite_options *options,
                            fv_composite *out);

/* The normalised pixel box of a model's mean and deviation: (0 - mean) / std, (1 - mean) / std. */
void fv_composite_box(const float mean[3], const float std[3], float low[3], float high[3]);

/* The fv_rule_fn of a composite, which is its user argument. */
void fv_composite_pick(const fv_var *y, void *composite, fv_rule *rule);

#endif
