/* halonet.c - HaloNet (Vaswani et al. 2021, "Scaling local self-attention for parameter efficient visual
 * backbones"): a residual network whose 3x3 convolutions are halo attention, all of them (h1) or some,
 * in the form and under the names that timm's released weights have.  docs/models.md has the deviations from
 * the paper. */
#include "layers/bottleneck.h"
#include "layers/linear.h"
#include "layers/stem.h"
#include "models/halonet_args.h"
#include "models/model_list.h"

#include <inttypes.h>
#include <string.h>

typedef struct halonet_variant {
    const char *name;
    double crop_pct;
    int64_t num_classes;
    fv_halonet_args args;
} halonet_variant;

/* A stage: blocks, width, stride, ratio; block, halo and heads of its attention. */
static const halonet_variant variants[] = {
    {"halonet_h1",
     0.95,
     1000,
     {.height = 256,
      .width = 256,
      .stem_type = "7x7",
      .stem_pool = "maxpool",
      .stem_chs = 64,
      .act_layer = "relu",
      .attn_layer = "",
      .n_stages = 4,
      .stage = {{"AAA", 64, 1, 1.0, 8, 3, 8},
                {"AAA", 128, 2, 1.0, 8, 3, 8},
                {"AAAAAAAAAA", 256, 2, 1.0, 8, 3, 8},
                {"AAA", 512, 2, 1.0, 8, 3, 8}}}},
    {"halonet26t",
     0.95,
     1000,
     {.height = 256,
      .width = 256,
      .stem_type = "tiered",
      .stem_pool = "maxpool",
      .stem_chs = 64,
      .act_layer = "relu",
      .attn_layer = "",
      .n_stages = 4,
      .stage = {{"bb", 256, 1, 0.25, 8, 2, 8},
                {"bb", 512, 2, 0.25, 8, 2, 8},
                {"bA", 1024, 2, 0.25, 8, 2, 8},
                {"AA", 2048, 2, 0.25, 8, 2, 8}}}},
    {"halonet50ts",
     0.94,
     1000,
     {.height = 256,
      .width = 256,
      .stem_type = "tiered",
      .stem_pool = "maxpool",
      .stem_chs = 64,
      .act_layer = "silu",
      .attn_layer = "",
      .n_stages = 4,
      .stage = {{"bbb", 256, 1, 0.25, 8, 3, 8},
                {"bbbA", 512, 2, 0.25, 8, 3, 4},
                {"bAbAbA", 1024, 2, 0.25, 8, 3, 8},
                {"bAb", 2048, 2, 0.25, 8, 3, 8}}}},
    {"sehalonet33ts",
     0.94,
     1000,
     {.height = 256,
      .width = 256,
      .stem_type = "tiered",
      .stem_pool = "",
      .stem_chs = 64,
      .act_layer = "silu",
      .attn_layer = "se",
      .num_features = 1280,
      .n_stages = 4,
      .stage = {{"bb", 256, 1, 0.25, 8, 3, 8},
                {"bbA", 512, 2, 0.25, 8, 3, 8},
                {"bbA", 1024, 2, 0.25, 8, 3, 8},
                {"AA", 1536, 2, 0.333, 8, 3, 8}}}},
    {"eca_halonext26ts",
     0.94,
     1000,
     {.height = 256,
      .width = 256,
      .stem_type = "tiered",
      .stem_pool = "maxpool",
      .stem_chs = 64,
      .act_layer = "silu",
      .attn_layer = "eca",
      .group_size = 16,
      .dim_head = 16,
      .n_stages = 4,
      .stage = {{"bb", 256, 1, 0.25, 8, 2, 8},
                {"bb", 512, 2, 0.25, 8, 2, 8},
                {"bA", 1024, 2, 0.25, 8, 2, 8},
                {"AA", 2048, 2, 0.25, 8, 2, 8}}}},
    {"mini_halonet_h1",
     0.95,
     10,
     {.height = 128,
      .width = 128,
      .stem_type = "7x7",
      .stem_pool = "maxpool",
      .stem_chs = 32,
      .act_layer = "relu",
      .attn_layer = "",
      .n_stages = 4,
      .stage = {{"A", 32, 1, 1.0, 4, 1, 8},
                {"A", 64, 2, 1.0, 4, 1, 8},
                {"AA", 96, 2, 1.0, 4, 1, 8},
                {"A", 128, 2, 1.0, 4, 1, 8}}}},
    {"mini_halonet_ts",
     0.94,
     10,
     {.height = 128,
      .width = 128,
      .stem_type = "tiered",
      .stem_pool = "maxpool",
      .stem_chs = 32,
      .act_layer = "silu",
      .attn_layer = "",
      .n_stages = 4,
      .stage = {{"b", 64, 1, 0.25, 4, 2, 4},
                {"bA", 128, 2, 0.25, 4, 2, 4},
                {"bA", 256, 2, 0.25, 2, 1, 8},
                {"AA", 512, 2, 0.25, 2, 1, 8}}}},
};

#define VARIANTS ((int)(sizeof variants / sizeof *variants))

typedef struct halonet_stage {
    const char *path; /* "stages.0" */
    fv_bottleneck *blocks;
    int64_t depth;
} halonet_stage;

typedef struct halonet {
    fv_stem stem;
    halonet_stage stage[FV_HALONET_STAGES];
    int64_t n_stages;
    fv_conv_bn final_conv; /* 1x1, where widened */
    bool widened;
    fv_linear_layer fc;
} halonet;

static const char *variant_name(int i) { return i >= 0 && i < VARIANTS ? variants[i].name : NULL; }

/* ---- build ---- */

static fv_activation_kind activation(const fv_halonet_args *a) {
    return strcmp(a->act_layer, "silu") == 0 ? FV_SILU : FV_RELU;
}

static fv_gate_kind gate(const fv_halonet_args *a) {
    if (strcmp(a->attn_layer, "se") == 0) return FV_GATE_SE;
    return strcmp(a->attn_layer, "eca") == 0 ? FV_GATE_ECA : FV_GATE_NONE;
}

static int64_t width_of(const fv_halonet_args *a) {
    return a->num_features ? a->num_features : a->stage[a->n_stages - 1].width;
}

/* Pixels a side behind stage `last`. */
static int64_t stage_pixels(const fv_halonet_args *a, int64_t last, int64_t pixels) {
    pixels = fv_halonet_stem_pixels(a, pixels);
    for (int64_t s = 0; s <= last; s++)
        if (a->stage[s].stride == 2) pixels = (pixels + 1) / 2;
    return pixels;
}

static void fill_model(fv_model *model, const fv_model_config *cfg, const halonet_variant *v,
                       const fv_halonet_args *a) {
    const int64_t last = a->n_stages - 1, middle = last > 0 ? last - 1 : 0;

    model->input = (fv_model_input){.height = a->height,
                                    .width = a->width,
                                    .mean = {0.485f, 0.456f, 0.406f},
                                    .std = {0.229f, 0.224f, 0.225f},
                                    .interpolation = "bicubic",
                                    .crop_pct = v->crop_pct,
                                    .any_size = true};
    model->num_classes = cfg->num_classes ? cfg->num_classes : v->num_classes;
    model->num_features = width_of(a);
    model->tokens = stage_pixels(a, middle, a->height) * stage_pixels(a, middle, a->width);
    model->grid_h = stage_pixels(a, last, a->height);
    model->grid_w = stage_pixels(a, last, a->width);
    model->global_pool = "avg";
    model->classifiers[0] = "head.fc";
}

static fv_status build_stem(halonet *m, fv_scope scope, const fv_halonet_args *a) {
    const fv_scope stem = fv_scope_child(scope, "stem");
    const fv_stem_config cfg = {.kind = strcmp(a->stem_type, "tiered") == 0 ? FV_STEM_TIERED
                                        : strcmp(a->stem_type, "3x3") == 0  ? FV_STEM_3X3
                                                                            : FV_STEM_7X7,
                                .dim = a->stem_chs,
                                .pool = a->stem_pool[0] != '\0',
                                .act = activation(a)};
    return fv_stem_init(&m->stem, stem, stem.path, &cfg);
}

static fv_status build_stage(halonet_stage *m, fv_scope scope, const fv_halonet_args *a,
                             const fv_halonet_stage *stage, int64_t in, const float *drop_path) {
    fv_bottleneck_config cfg = {.in = in,
                                .mid = fv_halonet_inner(stage),
                                .out = stage->width,
                                .stride = stage->stride,
                                .gate = gate(a),
                                .act = activation(a)};

    m->path = scope.path;
    m->depth = (int64_t)strlen(stage->blocks);
    m->blocks = fv_arena_calloc(scope.params->arena, (size_t)m->depth, sizeof *m->blocks);
    if (!m->blocks) return FV_ERR_NOMEM;
    if (a->group_size) cfg.groups = cfg.mid / a->group_size;
    for (int64_t i = 0; i < m->depth; i++) {
        cfg.halo = (fv_halo_config){.heads = stage->heads, .dim_head = a->dim_head};
        cfg.halo.block = stage->blocks[i] == 'A' ? stage->block : 0;
        cfg.halo.halo = stage->halo;
        cfg.drop_path = drop_path[i];
        FV_TRY(fv_bottleneck_init(&m->blocks[i], fv_scope_child(scope, "%" PRId64, i), &cfg));
        cfg.in = stage->width;
        cfg.stride = 1;
    }
    return FV_OK;
}

/* Stochastic depth rises linearly over all blocks. */
static float *drop_paths(fv_model *model, const fv_halonet_args *a) {
    int64_t total = 0;

    for (int64_t s = 0; s < a->n_stages; s++) total += (int64_t)strlen(a->stage[s].blocks);
    float *rates = fv_arena_alloc(&model->arena, (size_t)total, sizeof *rates);
    for (int64_t i = 0; rates && i < total; i++)
        rates[i] = total > 1 ? (float)(model->drop_path * (double)i / (double)(total - 1)) : 0.0f;
    return rates;
}

static fv_status build_stages(halonet *m, fv_model *model, fv_scope scope,
                              const fv_halonet_args *a) {
    const float *rates = drop_paths(model, a);
    int64_t in = a->stem_chs;

    if (!rates) return FV_ERR_NOMEM;
    m->n_stages = a->n_stages;
    for (int64_t s = 0; s < a->n_stages; s++) {
        FV_TRY(build_stage(&m->stage[s], fv_scope_child(scope, "stages.%" PRId64, s), a,
                           &a->stage[s], in, rates));
        rates += m->stage[s].depth;
        in = a->stage[s].width;
    }
    return FV_OK;
}

static fv_status build_head(halonet *m, const fv_model *model, fv_scope scope,
                            const fv_halonet_args *a) {
    static const fv_conv_bn_names names = {"conv", "bn", ""};
    const fv_conv_bn_config cfg = {.in = a->stage[a->n_stages - 1].width,
                                   .out = a->num_features,
                                   .kernel = 1,
                                   .act = activation(a)};

    m->widened = a->num_features > 0;
    if (m->widened)
        FV_TRY(fv_conv_bn_init(&m->final_conv, fv_scope_child(scope, "final_conv"), &names, &cfg));
    FV_TRY(fv_linear_layer_init(&m->fc, fv_scope_child(scope, "head.fc"), model->num_features,
                                model->num_classes, true));
    m->fc.weight->init = (fv_init){FV_INIT_NORMAL, 0.01f};
    return FV_OK;
}

static fv_status name_features(fv_model *model, const halonet *m) {
    const char **names = fv_arena_alloc(&model->arena, (size_t)m->n_stages + 1, sizeof *names);

    if (!names) return FV_ERR_NOMEM;
    names[0] = m->stem.path;
    for (int64_t s = 0; s < m->n_stages; s++) names[s + 1] = m->stage[s].path;
    model->feature_names = names;
    model->n_features = (int)m->n_stages + 1;
    return FV_OK;
}

static fv_status build(fv_model *model, const fv_model_config *cfg) {
    const halonet_variant *v = variants;
    while (strcmp(v->name, model->name) != 0) v++;
    fv_halonet_args a = v->args;

    FV_TRY(fv_halonet_args_read(model, cfg->img_size, &a));
    FV_TRY(fv_halonet_args_check(model, &a));
    FV_TRY(fv_halonet_args_write(model, &v->args, &a));
    fill_model(model, cfg, v, &a);

    const fv_scope scope = {&model->params, ""};
    halonet *m = fv_arena_calloc(&model->arena, 1, sizeof *m);
    if (!m) return FV_ERR_NOMEM;
    model->self = m;
    FV_TRY(build_stem(m, scope, &a));
    model->first_conv = fv_stem_first_conv(&m->stem);
    FV_TRY(build_stages(m, model, scope, &a));
    FV_TRY(build_head(m, model, scope, &a));
    return name_features(model, m);
}

/* ---- forward ---- */

/* image [B,H,W,3] -> logits [B,K]; maps are H/4 (H/2 without a pool) divided by the strides so far. */
static fv_var *forward(const fv_model *model, fv_var *image) {
    const halonet *m = model->self;

    fv_var *x = fv_stem_forward(&m->stem, image); /* [B,H/4,W/4,C0] */
    for (int64_t s = 0; s < m->n_stages; s++) {
        const halonet_stage *stage = &m->stage[s];
        for (int64_t i = 0; i < stage->depth; i++)
            x = fv_bottleneck_forward(&stage->blocks[i], x); /* [B,h,w,C] */
        x = fv_tap(x, stage->path);
    }
    if (m->widened) x = fv_conv_bn_forward(&m->final_conv, x); /* [B,h,w,D] */
    x = fv_mean_tokens(x, 0, fv_product_dtype(x->tape));       /* [B,D] */
    return fv_linear_layer_forward_f32(&m->fc, fv_tap(x, "pre_logits"));
}

const fv_family fv_family_halonet = {
    .name = "halonet",
    .variant = variant_name,
    .build = build,
    .forward = forward,
    .layers = {.stem = "stem", .blocks = "stages.#.#", .last = "final_conv"}};
