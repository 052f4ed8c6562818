/* layer_index.h - the layer that a parameter belongs to, counted from the stem as timm does.
 *
 * Layer 0 is the stem (patch and position embedding, tokens), then come the blocks, one by one, each with
 * the downsampling in front of it and the last with the norm behind it, then the classifier. */
#ifndef FV_MODELS_LAYER_INDEX_H
#define FV_MODELS_LAYER_INDEX_H

#include "models/model.h"

/* layer[i] of params.item[i], [params.count]; *n_layers: stem, blocks and classifier.  FV_ERR_NOMEM. */
fv_status fv_model_layer_index(const fv_model *model, int64_t *layer, int64_t *n_layers);

#endif
