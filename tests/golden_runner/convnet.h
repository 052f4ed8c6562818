/* convnet.h - the small convolutional network of convnet.safetensors, shared by the groups of cases that
 * look at it:
 *     conv1 3->6 k3 p1 -> bn1 -> relu1 -> pool1 (max 2x2)
 *     pool1 -> conv2 6->6 k3 p1 -> bn2 -> relu2 -> conv3 (depthwise k3 p1, bias);  + pool1 = add -> relu3
 *     conv4 6->8 k3 s2 p1, bias -> relu4 -> gap -> fc 8->5 = logits
 * Batch norms use running statistics.  Values are tapped under these names; "add.skip" is pool1 as the
 * sum reads it, "pool1.from_conv2" pool1 as conv2 reads it. */
#ifndef FV_TESTS_CONVNET_H
#define FV_TESTS_CONVNET_H

#include "layers/batchnorm.h"
#include "layers/conv.h"
#include "layers/linear.h"
#include "tests/golden_runner/golden.h"

#define CONVNET_CLASSES 5

typedef struct convnet {
    golden *g;
    fv_arena arena; /* names, parameter structs */
    fv_params params;
    fv_conv_layer conv1, conv2, conv3, conv4;
    fv_batchnorm_layer bn1, bn2;
    fv_linear_layer fc;
    fv_tape *tape;
    fv_tensor images;      /* [N,16,16,3] */
    const int64_t *target; /* [N]: most probable class */
} convnet;

/* Reads parameters (with gradients), images and targets; false after a failed line.  Either way
 * convnet_close is called. */
bool convnet_open(golden *g, convnet *net);
void convnet_close(convnet *net);

/* Records the forward pass of x [N,16,16,3] in the tape's current step: logits [N,5]. */
fv_var *convnet_forward(const convnet *net, fv_var *x);

/* Begins a step in FV_EXPLAIN and records the stored images, which want gradients: *x and the logits,
 * kept.  NULL after a failed line. */
fv_var *convnet_record(convnet *net, fv_var **x);

/* ---- groups of cases ---- */
void convnet_check_lrp(convnet *net); /* act, grad, lrp, lrp_contrast */

#endif
