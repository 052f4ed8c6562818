/* default_layer.h - the activation that a method looks at when it is told none. */
#ifndef FV_EVAL_SALIENCY_DEFAULT_LAYER_H
#define FV_EVAL_SALIENCY_DEFAULT_LAYER_H

#include "eval/saliency/method.h"
#include "models/model.h"

/* A text for fv_explain_resolve_layers, a constant or in the model's arena. */
const char *fv_saliency_default_layer(const fv_saliency_choice *choice, const fv_model *model);

#endif
