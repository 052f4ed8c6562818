/* case_saliency_attention.h - the tensors of the saliency files that are about attention: rollout and its
 * kin, head importance and profiles.  `model` has the file's parameters, `pixels` are its images. */
#ifndef FV_TESTS_CASE_SALIENCY_ATTENTION_H
#define FV_TESTS_CASE_SALIENCY_ATTENTION_H

#include "models/model.h"
#include "tests/golden_runner/golden.h"

typedef struct attention_case {
    golden *g;
    const fv_model *model;
    fv_tape *tape;
    const float *pixels;   /* [N,H,W,3] */
    int64_t N;             /* at most 8 */
    const int64_t *target; /* [N] */
} attention_case;

/* rollout.*, chefer_generic.*, chefer_lrp.*, attn_gradcam.map, head.*, profile.* */
void attention_vit_cases(attention_case *c);
/* rollout.mean.map_column_mean */
void attention_vit_gap_cases(attention_case *c);
/* rollout.mean */
void attention_family_cases(attention_case *c);

#endif
