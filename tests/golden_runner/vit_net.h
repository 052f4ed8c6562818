/* vit_net.h - the tiny vision transformers of vit.safetensors and vit_gap.safetensors, shared by the
 * groups of cases that look at them: 3x16x16, patches of 4, width 16, 2 heads, 2 blocks, MLP 32,
 * 5 classes; a class token, or the mean of the normed tokens. */
#ifndef FV_TESTS_VIT_NET_H
#define FV_TESTS_VIT_NET_H

#include "models/model.h"
#include "tests/golden_runner/golden.h"

#define VIT_NET_BLOCKS  2
#define VIT_NET_CLASSES 5

typedef struct vit_net {
    golden *g;
    fv_model *model;
    fv_tape *tape;
    fv_tensor images; /* [N,16,16,3] */
    const int64_t *target;
    bool mean;
} vit_net;

/* Reads parameters, images and targets; false after a failed line.  Either way vit_net_close is
 * called. */
bool vit_net_open(golden *g, bool mean, vit_net *net);
void vit_net_close(vit_net *net);

/* Begins a step in FV_EXPLAIN and records the images, which want gradients: *x and the logits, kept.
 * With a mean, the tap "blocks.1" must be watched.  NULL after a failed line. */
fv_var *vit_net_record(vit_net *net, fv_var **x);

/* The tap behind a node of the file ("blocks.0.S", "tokens.1", "pooled"), in the file's arena. */
const char *vit_net_tap(golden *g, const char *node);

/* ---- groups of cases ---- */
void vit_check_lrp(vit_net *net);      /* act, grad, lrp */
void vit_gap_check_lrp(vit_net *net);  /* logits, lrp */
void vit_gap_check_maps(vit_net *net); /* map */

#endif
