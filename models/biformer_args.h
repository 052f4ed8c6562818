/* biformer_args.h - what a BiFormer is made of: the authors' constructor arguments, read from
 * model_kwargs and written to config.json. */
#ifndef FV_MODELS_BIFORMER_ARGS_H
#define FV_MODELS_BIFORMER_ARGS_H

#include "layers/biformer_downsample.h"
#include "models/model.h"

#define FV_BIFORMER_STAGES 4
#define FV_BIFORMER_GLOBAL (-2) /* as a top-k: global attention */

typedef struct fv_biformer_args {
    int64_t height, width; /* px */
    int64_t embed_dim[FV_BIFORMER_STAGES], depth[FV_BIFORMER_STAGES];
    double mlp_ratios[FV_BIFORMER_STAGES];
    int64_t head_dim; /* of routing attention */
    int64_t n_win;    /* regions per side */
    int64_t topks[FV_BIFORMER_STAGES];
    int64_t side_dwconv, before_attn_dwconv; /* kernels, px; 0: none */
    double layer_scale_init_value;           /* not positive: no layer scale */
    bool auto_pad;
} fv_biformer_args;

typedef struct fv_biformer_variant {
    const char *name;
    int64_t num_classes;
    bool stl;
    fv_biformer_args args;
} fv_biformer_variant;

/* What stands in front of a stage, and the pixels a side of its map for an image of `size`. */
fv_biformer_downsample_kind fv_biformer_downsample_of(const fv_biformer_variant *v, int stage);
int64_t fv_biformer_stage_size(const fv_biformer_variant *v, int stage, int64_t size);

/* The variant's arguments with what model->kwargs and cfg ask for in their place, checked; the groups
 * attention, pool and pos must be empty.  Sets model->args to what differs.  FV_ERR_CONFIG: "key: rule". */
fv_status fv_biformer_args_read(fv_model *model, const fv_model_config *cfg,
                                const fv_biformer_variant *v, fv_biformer_args *out);

#endif
