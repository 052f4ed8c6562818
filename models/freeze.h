/* freeze.h - parts of a model that training leaves as they are. */
#ifndef FV_MODELS_FREEZE_H
#define FV_MODELS_FREEZE_H

#include "models/model.h"

/* Freezes what a list "patch_embed,blocks.0" names, by whole components of parameter names; "backbone"
 * stands for everything but the classifiers.  For a model without memory (fv_model_describe).
 * FV_ERR_CONFIG: a name that is no part of the model, or nothing is left to train. */
fv_status fv_model_freeze(fv_model *model, const char *list);

#endif
