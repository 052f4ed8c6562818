/* model_list.h - every model family.  A new one is a file <family>.c with its descriptor
 * fv_family_<family> and a table of variants, and its name here. */
#ifndef FV_MODELS_MODEL_LIST_H
#define FV_MODELS_MODEL_LIST_H

#include "models/model.h"

#define FV_FAMILY_LIST(X) X(vit) X(biformer) X(davit) X(halonet) X(resnet)

#define FV_X(name) extern const fv_family fv_family_##name;
FV_FAMILY_LIST(FV_X)
#undef FV_X

#endif
