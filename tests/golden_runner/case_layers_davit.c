/* Layers of DaViT. */
#include "layers/davit_block.h"
#include "layers/davit_down.h"
#include "tests/golden_runner/layer_case.h"

#include <string.h>

#define NORM_EPS 1e-5f

/* That of the case that runs. */
static union {
    fv_conv_pos pos;
    fv_davit_stem stem;
    fv_davit_downsample downsample;
    fv_mixer_layer mixer;
    fv_davit_block block;
} layer;

static fv_status pos_init(layer_case *c, fv_scope scope) {
    return fv_conv_pos_init(&layer.pos, scope, c->x_shape.dim[3]);
}
static fv_var *pos_forward(layer_case *c, fv_var *x) {
    (void)c;
    return fv_conv_pos_forward(&layer.pos, x);
}

static fv_status stem_init(layer_case *c, fv_scope scope) {
    return fv_davit_stem_init(&layer.stem, scope, c->y_shape.dim[3], NORM_EPS);
}
static fv_var *stem_forward(layer_case *c, fv_var *x) {
    (void)c;
    return fv_davit_stem_forward(&layer.stem, x);
}

static fv_status downsample_init(layer_case *c, fv_scope scope) {
    return fv_davit_downsample_init(&layer.downsample, scope, c->x_shape.dim[3], c->y_shape.dim[3],
                                    NORM_EPS);
}
static fv_var *downsample_forward(layer_case *c, fv_var *x) {
    (void)c;
    return fv_davit_downsample_forward(&layer.downsample, x);
}

/* A grid of rows x columns; the tokens of the attention cases are one window of 7 x 7. */
static fv_mixer_shape shape_of(const layer_case *c, int64_t rows, int64_t columns) {
    return (fv_mixer_shape){.n_tokens = rows * columns,
                            .grid_h = rows,
                            .grid_w = columns,
                            .dim = fv_shape_last(&c->x_shape),
                            .heads = layer_case_int(c, "heads"),
                            .qkv_bias = true,
                            .proj_bias = true,
                            .kind = strstr(c->name, "channel") ? "channel" : "window",
                            .window = layer_case_int(c, "window")};
}

static fv_status attention_init(layer_case *c, fv_scope scope) {
    const fv_mixer_shape shape = shape_of(c, 7, 7);
    fv_arena *arena = &c->g->arena;
    fv_value *cfg = NULL;

    if (strstr(c->name, "_v2")) {
        cfg = fv_value_new(arena, FV_VALUE_MAP);
        fv_value *own = fv_value_set(arena, cfg, "channel", fv_value_new(arena, FV_VALUE_MAP));
        if (!fv_value_set(arena, own, "variant", fv_value_string(arena, "v2"))) return FV_ERR_NOMEM;
    }
    return fv_mixer_layer_init(&layer.mixer, scope, cfg, &shape);
}
static fv_var *attention_forward(layer_case *c, fv_var *x) {
    (void)c;
    return fv_mixer_layer_forward(&layer.mixer, x);
}

static fv_status block_init(layer_case *c, fv_scope scope) {
    const fv_block_config cfg = {.shape = shape_of(c, c->x_shape.dim[1], c->x_shape.dim[2]),
                                 .mlp_hidden = 4 * c->x_shape.dim[3],
                                 .norm_eps = NORM_EPS};
    return fv_davit_block_init(&layer.block, scope, &cfg);
}
static fv_var *block_forward(layer_case *c, fv_var *x) {
    (void)c;
    return fv_davit_block_forward(&layer.block, x);
}

const layer_kind layer_kinds_davit[] = {
    {"convposenc", MAPS, false, pos_init, pos_forward},
    {"davit_stem", MAPS, false, stem_init, stem_forward},
    {"davit_downsample", MAPS, false, downsample_init, downsample_forward},
    {"davit_window_attention", 0, false, attention_init, attention_forward},
    {"davit_channel_attention", 0, false, attention_init, attention_forward},
    {"davit_channel_attention_v2", 0, false, attention_init, attention_forward},
    {"davit_spatial_block", MAPS, false, block_init, block_forward},
    {"davit_channel_block", MAPS, false, block_init, block_forward},
    {0},
};
