/* biformer.c - BiFormer (Zhu et al. 2023, "BiFormer: Vision transformer with bi-level routing attention"),
 * a pyramid of four stages with routing attention in the first three and global attention in the last,
 * under the names of the authors' code:
 *
 *     biformer_tiny, _small, _base   overlapping convolutions between the stages, blocks with a depthwise
 *                                    position convolution
 *     biformer_stl                   Swin-T's layout: patches, merged patches, no position convolution
 * A top-k of -2 asks for global attention. */
#include "layers/biformer_block.h"
#include "layers/biformer_downsample.h"
#include "models/args.h"
#include "models/model_list.h"

#include <inttypes.h>
#include <string.h>

#define STAGES 4
#define GLOBAL (-2)

typedef struct biformer_args {
    int64_t height, width; /* px */
    int64_t embed_dim[STAGES], depth[STAGES];
    double mlp_ratios[STAGES];
    int64_t head_dim; /* of routing attention */
    int64_t n_win;    /* regions per side */
    int64_t topks[STAGES];
    int64_t side_dwconv, before_attn_dwconv; /* kernels, px; 0: none */
    double layer_scale_init_value;           /* not positive: no layer scale */
    bool auto_pad;
} biformer_args;

typedef struct biformer_variant {
    const char *name;
    int64_t num_classes;
    bool stl;
    biformer_args args;
} biformer_variant;

static const biformer_variant variants[] = {
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

static fv_biformer_downsample_kind downsample_of(const biformer_variant *v, int stage) {
    if (v->stl) return stage ? FV_BIFORMER_MERGE : FV_BIFORMER_PATCHES;
    return stage ? FV_BIFORMER_DOWN : FV_BIFORMER_STEM;
}

/* Pixels a side of a stage's map for an image of `size`. */
static int64_t stage_size(const biformer_variant *v, int stage, int64_t size) {
    for (int s = 0; s <= stage; s++) size = fv_biformer_downsample_size(downsample_of(v, s), size);
    return size;
}

/* ---- arguments ---- */

static const char *const arg_names[] = {
    "img_size", "depth", "embed_dim",   "mlp_ratios",         "head_dim",
    "n_win",    "topks", "side_dwconv", "before_attn_dwconv", "layer_scale_init_value",
    "auto_pad", NULL};

static fv_status read_args(fv_model *model, const fv_model_config *cfg, const biformer_variant *v,
                           biformer_args *a) {
    fv_value *kwargs = model->kwargs;

    FV_TRY(fv_args_size(kwargs, cfg->img_size, &a->height, &a->width));
    FV_TRY(fv_args_ints(kwargs, "depth", 1, 1024, STAGES, a->depth));
    FV_TRY(fv_args_ints(kwargs, "embed_dim", 1, 65536, STAGES, a->embed_dim));
    FV_TRY(fv_args_reals(kwargs, "mlp_ratios", 0.0, 64.0, STAGES, a->mlp_ratios));
    FV_TRY(fv_value_get_int(kwargs, "head_dim", 1, 65536, &a->head_dim));
    FV_TRY(fv_value_get_int(kwargs, "n_win", 1, 1024, &a->n_win));
    FV_TRY(fv_args_ints(kwargs, "topks", GLOBAL, 1 << 20, STAGES, a->topks));
    FV_TRY(fv_value_get_int(kwargs, "side_dwconv", 0, 63, &a->side_dwconv));
    if (!v->stl)
        FV_TRY(fv_value_get_int(kwargs, "before_attn_dwconv", 0, 63, &a->before_attn_dwconv));
    FV_TRY(
        fv_value_get_real(kwargs, "layer_scale_init_value", -1.0, 1e6, &a->layer_scale_init_value));
    FV_TRY(fv_value_get_bool(kwargs, "auto_pad", &a->auto_pad));
    FV_TRY(fv_value_check_known(kwargs, arg_names));
    FV_TRY(fv_value_check_known(model->attention, (const char *const[]){NULL}));
    FV_TRY(fv_value_check_known(model->pool, (const char *const[]){NULL}));
    return fv_value_check_known(model->pos, (const char *const[]){NULL});
}

static fv_status check_stage(const fv_model *model, const biformer_variant *v,
                             const biformer_args *a, int s) {
    const fv_value *kwargs = model->kwargs;
    const int64_t C = a->embed_dim[s], k = a->topks[s], S = a->n_win;
    const int64_t h = stage_size(v, s, a->height), w = stage_size(v, s, a->width);

    if (h < 1 || w < 1)
        return fv_args_bad(kwargs, "img_size",
                           "%" PRId64 "x%" PRId64 " px leave stage %d no pixels", a->height,
                           a->width, s);
    if ((double)C * a->mlp_ratios[s] < 1.0)
        return fv_args_bad(kwargs, "mlp_ratios", "%g leaves the MLP no width", a->mlp_ratios[s]);
    if (k == GLOBAL) return FV_OK;
    if (k < 1 || k > S * S)
        return fv_args_bad(kwargs, "topks",
                           "stage %d: %" PRId64 " of %" PRId64 "x%" PRId64
                           " regions (%d asks for global attention)",
                           s, k, S, S, GLOBAL);
    if (C % a->head_dim)
        return fv_args_bad(kwargs, "head_dim", "%" PRId64 " does not divide embed_dim %" PRId64,
                           a->head_dim, C);
    if (!a->auto_pad && (h % S || w % S))
        return fv_args_bad(kwargs, "n_win",
                           "stage %d: a map of %" PRId64 "x%" PRId64
                           " px does not divide into %" PRId64 "x%" PRId64
                           " regions; auto_pad: true continues it by zeros",
                           s, h, w, S, S);
    return FV_OK;
}

static fv_status check_args(const fv_model *model, const biformer_variant *v,
                            const biformer_args *a) {
    const fv_value *kwargs = model->kwargs;

    if (a->side_dwconv && a->side_dwconv % 2 == 0)
        return fv_args_bad(kwargs, "side_dwconv", "%" PRId64 " px is not odd", a->side_dwconv);
    if (a->before_attn_dwconv && a->before_attn_dwconv % 2 == 0)
        return fv_args_bad(kwargs, "before_attn_dwconv", "%" PRId64 " px is not odd",
                           a->before_attn_dwconv);
    for (int s = 0; s < STAGES; s++) FV_TRY(check_stage(model, v, a, s));
    return FV_OK;
}

static void write_ints(fv_arena *arena, fv_value *args, const char *key, const int64_t now[],
                       const int64_t before[]) {
    if (memcmp(now, before, STAGES * sizeof *now) != 0)
        fv_value_set(arena, args, key, fv_args_int_list(arena, STAGES, now));
}

static void write_int(fv_arena *arena, fv_value *args, const char *key, int64_t now,
                      int64_t before) {
    if (now != before) fv_value_set(arena, args, key, fv_value_int(arena, now));
}

static void write_ratios(fv_arena *arena, fv_value *args, const biformer_args *a,
                         const biformer_args *before) {
    fv_value *list = fv_value_new(arena, FV_VALUE_LIST);

    if (memcmp(a->mlp_ratios, before->mlp_ratios, sizeof a->mlp_ratios) == 0) return;
    for (int s = 0; s < STAGES; s++) fv_value_add(list, fv_value_real(arena, a->mlp_ratios[s]));
    fv_value_set(arena, args, "mlp_ratios", list && !list->incomplete ? list : NULL);
}

/* What differs from the variant, in the authors' words. */
static fv_status write_args(fv_model *model, const biformer_variant *v, const biformer_args *a) {
    fv_arena *arena = &model->arena;
    fv_value *args = fv_value_new(arena, FV_VALUE_MAP);
    const biformer_args *b = &v->args;

    if (a->height != b->height || a->width != b->width)
        fv_value_set(arena, args, "img_size",
                     fv_args_int_list(arena, 2, (int64_t[]){a->height, a->width}));
    write_ints(arena, args, "depth", a->depth, b->depth);
    write_ints(arena, args, "embed_dim", a->embed_dim, b->embed_dim);
    write_ratios(arena, args, a, b);
    write_int(arena, args, "head_dim", a->head_dim, b->head_dim);
    write_int(arena, args, "n_win", a->n_win, b->n_win);
    write_ints(arena, args, "topks", a->topks, b->topks);
    write_int(arena, args, "side_dwconv", a->side_dwconv, b->side_dwconv);
    write_int(arena, args, "before_attn_dwconv", a->before_attn_dwconv, b->before_attn_dwconv);
    if (a->layer_scale_init_value != b->layer_scale_init_value)
        fv_value_set(arena, args, "layer_scale_init_value",
                     fv_value_real(arena, a->layer_scale_init_value));
    if (a->auto_pad != b->auto_pad)
        fv_value_set(arena, args, "auto_pad", fv_value_bool(arena, a->auto_pad));
    model->args = args;
    return args && !args->incomplete ? FV_OK : FV_ERR_NOMEM;
}

/* ---- build ---- */

/* Gradients are summed by chunks that the maps of the third stage measure. */
static void fill_model(fv_model *model, const fv_model_config *cfg, const biformer_variant *v,
                       const biformer_args *a) {
    const int64_t third = stage_size(v, 2, a->height) * stage_size(v, 2, a->width);

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
    model->grid_h = stage_size(v, STAGES - 1, a->height);
    model->grid_w = stage_size(v, STAGES - 1, a->width);
    model->global_pool = "avg";
    model->classifiers[0] = "head";
}

static fv_biformer_block_config block_config(const biformer_variant *v, const biformer_args *a,
                                             int s) {
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

static fv_status build_downsampling(biformer *m, fv_scope scope, const biformer_variant *v,
                                    const biformer_args *a) {
    for (int s = 0; s < STAGES; s++)
        FV_TRY(fv_biformer_downsample_init(
            &m->stage[s].downsample, fv_scope_child(scope, "downsample_layers.%d", s),
            downsample_of(v, s), s ? a->embed_dim[s - 1] : 3, a->embed_dim[s]));
    return FV_OK;
}

static fv_status build_stages(biformer *m, fv_scope scope, const fv_model *model,
                              const biformer_variant *v, const biformer_args *a) {
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
    const biformer_variant *v = variants;
    while (strcmp(v->name, model->name) != 0) v++;
    biformer_args a = v->args;

    FV_TRY(read_args(model, cfg, v, &a));
    FV_TRY(check_args(model, v, &a));
    FV_TRY(write_args(model, v, &a));
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
    .name = "biformer", .variant = variant_name, .build = build, .forward = forward};
