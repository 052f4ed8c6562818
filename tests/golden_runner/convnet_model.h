/* convnet_model.h - the convolutional network of convnet.safetensors as a model, for whatever takes one:
 *     conv1 3->6 k3 -> bn1 -> relu1 -> pool1 (max 2x2)
 *     pool1 -> conv2 6->6 k3 -> bn2 -> relu2 -> conv3 (depthwise k3);  + pool1 = add -> relu3
 *     conv4 6->8 k3 stride 2 -> relu4 -> gap -> fc 8->5
 * Values are tapped under these names, the image under "input"; "add.skip" is pool1 as the sum reads it,
 * "pool1.from_conv2" pool1 as conv2 reads it. */
#ifndef FV_TESTS_CONVNET_MODEL_H
#define FV_TESTS_CONVNET_MODEL_H

#include "models/model.h"
#include "tests/golden_runner/saliency_model.h"

/* A model for 3 x side x side images with gradients, its values not yet there; the caller destroys it. */
fv_status convnet_model_create(int64_t side, int64_t classes, fv_model **out);

/* ---- groups of cases ---- */
void convnet_check_lrp(const saliency_model *net); /* act, grad, lrp, lrp_contrast */

#endif
