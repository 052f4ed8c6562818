/* layer_decay.h - smaller steps for layers further from the classifier (ELECTRA: Clark et al. 2020;
 * fine-tuning of ViTs: Bao et al. 2022, "BEiT"). */
#ifndef FV_TRAIN_LAYER_DECAY_H
#define FV_TRAIN_LAYER_DECAY_H

#include "models/model.h"

typedef struct fv_layer_decay {
    double decay;     /* rate of a layer over that of the next one, in (0, 1] */
    double min_scale; /* smallest share of the classifier's rate */
} fv_layer_decay;

/* scale[i] for params.item[i], [params.count]: max(min_scale, decay^(layers behind it)), with the layers of
 * models/layer_index.h.  FV_ERR_NOMEM. */
fv_status fv_layer_decay_scales(const fv_layer_decay *config, const fv_model *model, double *scale);

#endif
