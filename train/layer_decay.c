#include "train/layer_decay.h"

#include "core/alloc.h"
#include "models/layer_index.h"

#include <math.h>

fv_status fv_layer_decay_scales(const fv_layer_decay *config, const fv_model *model,
                                double *scale) {
    const int64_t n = model->params.count;
    int64_t n_layers;

    int64_t *layer = fv_alloc((size_t)n, sizeof *layer);
    if (!layer) return FV_ERR_NOMEM;
    const fv_status status = fv_model_layer_index(model, layer, &n_layers);
    for (int64_t i = 0; i < n && status == FV_OK; i++)
        scale[i] = fmax(config->min_scale, pow(config->decay, (double)(n_layers - 1 - layer[i])));
    fv_free(layer);
    return status;
}
