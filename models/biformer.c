/* biformer.c - BiFormer (Zhu et al. 2023, "BiFormer: Vision transformer with bi-level routing attention"),
 * a pyramid of four stages with routing attention in the first three and global attention in the last,
 * under the names of the authors' code:
 *
 *     biformer_tiny, _small, _base   overlapping convolutions between the stages, blocks with a depthwise
 *                                    position convolution
 *     biformer_stl                   Swin-T's layout: patches, merged patches, no position convolution
 * A top-k of -2 asks for global attention. */
#include "layers/biformer_block.h"
#include "models/biformer_args.h"
#include "models/model_list.h"

#include <inttypes.h>
#include <string.h>

#define STAGES FV_BIFORMER_STAGES
#define GLOBAL FV_BIFORMER_GLOBAL

static const fv_biformer_variant variants[] = {
    {"biformer_tiny",
     1000,
     false,
     {224,
      224,
      {64, 128, 256, 512},
      {2, 2, 8, 2},
      {3, 3, 3, 3},
      32,
      7,
      {1, 4, 16, GLOBAL},
      5,
      3,
      -1.0,
      false}},
    {"biformer_small",
     1000,
     false,
     {224,
      224,
      {64, 128, 256, 512},
      {4, 4, 18, 4},
      {3, 3, 3, 3},
      32,
      7,
      {1, 4, 16, GLOBAL},
      5,
      3,
      -1.0,
      false}},
    {"biformer_base",
     1000,
     false,
     {224,
      224,
      {96, 192, 384, 768},
      {4, 4, 18, 4},
      {3, 3, 3, 3},
      32,
      7,
      {1, 4, 16, GLOBAL},
      5,
      3,
      -1.0,
      false}},
    {"biformer_stl",
     1000,
     true,
     {224,
      224,
      {96, 192, 384, 768},
      {2, 2, 6, 2},
      {4, 4, 4, 4},
      32,
      7,
      {1, 4, 16, GLOBAL},
      5,
      0,
      -1.0,
      false}},
    {"mini_biformer",
     10,
     false,
     {64,
      64,
      {32, 64, 128, 256},
      {1, 1, 1, 1},
      {3, 3, 3, 3},
      32,
      4,
      {1, 2, 4, GLOBAL},
      5,
      3,
      -1.0,
      false}},
    {"mini_biformer_pad",
     10,
     false,
     {80,
      80,
      {32, 64, 128, 256},
      {1, 1, 2, 1},
      {3, 3, 3, 3},
      16,
      3,
      {2, 3, 5, GLOBAL},
      5,
      3,
      1.0,
      true}},
    {"mini_biformer_stl",
     10,
     true,
     {64,
      64,
      {32, 64, 128, 256},
      {1, 1, 1, 1},
      {4, 4, 4, 4},
      32,
      4,
      {1, 2, 4, GLOBAL},
      5,
      0,
      -1.0,
      false}},
};

#define VARIANTS ((int)(sizeof variants / sizeof *variants))

typedef struct biformer_stage {
    const char *path; /* "stages.0" */
    fv_biformer_downsample downsample;
    fv_biformer_block *blocks;
    int64_t depth;
} biformer_stage;

typedef struct biformer {
    biformer_stage stage[STAGES];
    fv_batchnorm_layer norm;
    fv_linear_layer head;
} biformer;

static const char *variant_name(int i) { return i >= 0 && i < VARIANTS ? variants[i].name : NULL; }

/* ---- build ---- */

/* Gradients are summed by chunks that the maps of the third stage measure. */
static void fill_model(fv_model *model, const fv_model_config *cfg, const fv_biformer_variant *v,
                       const fv_biformer_args *a) {
    const int64_t third =
        fv_biformer_stage_size(v, 2, a->height) * fv_biformer_stage_size(v, 2, a->width);

    model->input = (fv_model_input){.height = a->height,
                                    .width = a->width,
                                    .mean = {0.485f, 0.456f, 0.406f},
                                    .std = {0.229f, 0.224f, 0.225f},
                                    .interpolation = "bicubic",
                                    .crop_pct = 0.875,
                                    .any_size = true};
    model->num_classes = cfg->num_classes ? cfg->num_classes : v->num_classes;
    model->num_features = a->embed_dim[STAGES - 1];
    model->tokens = third;
    model->grid_h = fv_biformer_stage_size(v, STAGES - 1, a->height);
    model->grid_w = fv_biformer_stage_size(v, STAGES - 1, a->width);
    model->global_pool = "avg";
    model->classifiers[0] = "head";
}

static fv_biformer_block_config block_config(const fv_biformer_variant *v,
                                             const fv_biformer_args *a, int s) {
    const int64_t C = a->embed_dim[s];
    const bool global = a->topks[s] == GLOBAL;

    return (fv_biformer_block_config){.attn = {.dim = C,
                                               .heads = C / a->head_dim,
                                               .regions = a->n_win,
                                               .topk = global ? 0 : a->topks[s],
                                               .lepe = a->side_dwconv,
                                               .auto_pad = a->auto_pad},
                                      .mlp_hidden = (int64_t)((double)C * a->mlp_ratios[s]),
                                      .pos_kernel = a->before_attn_dwconv,
                                      .layer_scale = (float)a->layer_scale_init_value,
                                      .mlp_second = v->stl ? "2" : "3"};
}

static fv_status build_downsampling(biformer *m, fv_scope scope, const fv_biformer_variant *v,
                                    const fv_biformer_args *a) {
    for (int s = 0; s < STAGES; s++)
        FV_TRY(fv_biformer_downsample_init(
            &m->stage[s].downsample, fv_scope_child(scope, "downsample_layers.%d", s),
            fv_biformer_downsample_of(v, s), s ? a->embed_dim[s - 1] : 3, a->embed_dim[s]));
    return FV_OK;
}

static fv_status build_stages(biformer *m, fv_scope scope, const fv_model *model,
                              const fv_biformer_variant *v, const fv_biformer_args *a) {
    int64_t n = 0, total = 0;

    for (int s = 0; s < STAGES; s++) total += a->depth[s];
    for (int s = 0; s < STAGES; s++) {
        biformer_stage *stage = &m->stage[s];
        const fv_scope outer = fv_scope_child(scope, "stages.%d", s);
        const fv_scope inner = v->stl ? fv_scope_child(outer, "blocks") : outer;
        fv_biformer_block_config cfg = block_config(v, a, s);

        stage->path = outer.path;
        stage->depth = a->depth[s];
        stage->blocks =
            fv_arena_calloc(scope.params->arena, (size_t)stage->depth, sizeof *stage->blocks);
        if (!stage->blocks || !stage->path) return FV_ERR_NOMEM;
        for (int64_t i = 0; i < stage->depth; i++, n++) {
            const double of_last = total > 1 ? (double)n / (double)(total - 1) : 0.0;
            cfg.drop_path = (float)(model->drop_path * of_last);
            FV_TRY(fv_biformer_block_init(&stage->blocks[i], fv_scope_child(inner, "%" PRId64, i),
                                          &cfg));
        }
    }
    return FV_OK;
}

static fv_status name_features(fv_model *model, const biformer *m) {
    const char **names = fv_arena_alloc(&model->arena, 2 * STAGES, sizeof *names);

    if (!names) return FV_ERR_NOMEM;
    for (int s = 0; s < STAGES; s++) {
        names[2 * s] = m->stage[s].downsample.path;
        names[2 * s + 1] = m->stage[s].path;
    }
    model->feature_names = names;
    model->n_features = 2 * STAGES;
    return FV_OK;
}

static fv_status build(fv_model *model, const fv_model_config *cfg) {
    const fv_biformer_variant *v = variants;
    while (strcmp(v->name, model->name) != 0) v++;
    fv_biformer_args a;

    FV_TRY(fv_biformer_args_read(model, cfg, v, &a));
    fill_model(model, cfg, v, &a);

    const fv_scope scope = {&model->params, ""};
    biformer *m = fv_arena_calloc(&model->arena, 1, sizeof *m);
    if (!m) return FV_ERR_NOMEM;
    model->self = m;
    FV_TRY(build_downsampling(m, scope, v, &a));
    model->first_conv = m->stage[0].downsample.conv[0].path;
    FV_TRY(build_stages(m, scope, model, v, &a));
    FV_TRY(fv_batchnorm_layer_init(&m->norm, fv_scope_child(scope, "norm"), model->num_features));
    FV_TRY(fv_linear_layer_init(&m->head, fv_scope_child(scope, "head"), model->num_features,
                                model->num_classes, true));
    return name_features(model, m);
}

/* ---- forward ---- */

/* image [B,H,W,3] -> logits [B,K]; C of each stage */
static fv_var *forward(const fv_model *model, fv_var *image) {
    const biformer *m = model->self;
    fv_var *x = image;

    for (int s = 0; s < STAGES; s++) {
        const biformer_stage *stage = &m->stage[s];
        x = fv_biformer_downsample_forward(&stage->downsample, x); /* [B,H/4/2^s,W/4/2^s,C] */
        for (int64_t i = 0; i < stage->depth; i++)
            x = fv_biformer_block_forward(&stage->blocks[i], x);
        x = fv_tap(x, stage->path);
    }
    x = fv_batchnorm_layer_forward(&m->norm, x);         /* [B,H/32,W/32,C] */
    x = fv_mean_tokens(x, 0, fv_product_dtype(x->tape)); /* [B,C] */
    return fv_linear_layer_forward_f32(&m->head, fv_tap(x, "pre_logits"));
}

const fv_family fv_family_biformer = {
    .name = "biformer",
    .variant = variant_name,
    .build = build,
    .forward = forward,
    .layers = {.stem = "downsample_layers.0",
               .blocks = "downsample_layers.# stages.#.blocks.# stages.#.#",
               .last = "norm"}};
