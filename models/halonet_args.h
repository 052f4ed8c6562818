/* halonet_args.h - what a HaloNet is built from: read from model_kwargs, checked, written to config.json.
 *
 * Keys of the whole network have timm's names; what timm says with lists of block configurations are
 * our own keys here, one value for all stages or one per stage:
 *     blocks      "b" a bottleneck, "A" one with attention: [bb, bbA]
 *     widths, strides, ratios (inner over outer width), block_size, halo_size, num_heads */
#ifndef FV_MODELS_HALONET_ARGS_H
#define FV_MODELS_HALONET_ARGS_H

#include "models/model.h"

#define FV_HALONET_STAGES 8

typedef struct fv_halonet_stage {
    const char *blocks;
    int64_t width, stride;
    double ratio;
    int64_t block, halo, heads; /* of its attention: px, px, count */
} fv_halonet_stage;

typedef struct fv_halonet_args {
    int64_t height, width;  /* px */
    const char *stem_type;  /* "7x7", "3x3" or "tiered" */
    const char *stem_pool;  /* "maxpool" or "" */
    int64_t stem_chs;       /* channels */
    const char *act_layer;  /* "relu" or "silu" */
    const char *attn_layer; /* gate behind 3x3 convolutions: "", "se" or "eca" */
    int64_t num_features;   /* of a 1x1 convolution before the pooling; 0: none */
    int64_t group_size;     /* channels of a group of the 3x3 convolutions; 0: one group */
    int64_t dim_head;       /* of queries and keys; 0: that of values */
    int64_t n_stages;
    fv_halonet_stage stage[FV_HALONET_STAGES];
} fv_halonet_args;

/* The variant's arguments in *a become those that kwargs and img_size ask for. */
fv_status fv_halonet_args_read(const fv_model *model, int64_t img_size, fv_halonet_args *a);

/* FV_ERR_CONFIG naming key and rule: a map that does not divide into blocks, widths that heads or
 * groups do not divide. */
fv_status fv_halonet_args_check(const fv_model *model, const fv_halonet_args *a);

/* What differs from the variant, as model->args. */
fv_status fv_halonet_args_write(fv_model *model, const fv_halonet_args *variant,
                                const fv_halonet_args *a);

/* Inner width of a stage's blocks: timm's rounding to a multiple of 8. */
int64_t fv_halonet_inner(const fv_halonet_stage *stage);

/* Pixels a side behind the stem, from pixels of the image. */
int64_t fv_halonet_stem_pixels(const fv_halonet_args *a, int64_t pixels);

#endif
