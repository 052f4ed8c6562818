/* saliency_list.h - the explanation methods; adding one is its file and one line here. */
#ifndef FV_EVAL_SALIENCY_SALIENCY_LIST_H
#define FV_EVAL_SALIENCY_SALIENCY_LIST_H

#define FV_SALIENCY_LIST(X) \
    X(lrp)                  \
    X(sr)                   \
    X(gradient_x_input)     \
    X(gradient)             \
    X(smoothgrad)           \
    X(integrated_gradients) \
    X(gradcam)              \
    X(hirescam)             \
    X(layercam)             \
    X(rise)                 \
    X(occlusion)            \
    X(centre)               \
    X(edge)                 \
    X(random) X(normgrad) X(rollout) X(gradient_rollout) X(attention_gradcam) X(attention_lrp)

#endif
