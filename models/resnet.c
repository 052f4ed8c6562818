/* resnet.c - residual networks of bottleneck blocks (He et al. 2016, "Deep residual learning for image
 * recognition") in timm's form and names: the convolutional control of the attention networks.
 *
 *     resnet50   7x7 stem, shortcuts by strided 1x1 convolutions
 *     resnet26t  two blocks a stage, tiered stem, shortcuts by means and 1x1 convolutions (He et al.
 *                2019, "Bag of tricks for image classification with convolutional neural networks")
 * The stride of a block is its 3x3 convolution's. */
#include "layers/bottleneck.h"
#include "layers/linear.h"
#include "layers/stem.h"
#include "models/args.h"
#include "models/model_list.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define STAGES    4
#define EXPANSION 4 /* width of a block over that of its 3x3 convolution */

typedef struct resnet_args {
    int64_t height, width; /* px */
    int64_t layers[STAGES], channels[STAGES];
    int64_t stem_width; /* of the tiered stem's second convolution; the third has twice as many */
    const char *stem_type;
    bool avg_down;
} resnet_args;

typedef struct resnet_variant {
    const char *name;
    double crop_pct;
    resnet_args args;
} resnet_variant;

static const resnet_variant variants[] = {
    {"resnet26t", 0.94, {256, 256, {2, 2, 2, 2}, {64, 128, 256, 512}, 32, "deep_tiered", true}},
    {"resnet50", 0.95, {224, 224, {3, 4, 6, 3}, {64, 128, 256, 512}, 64, "", false}},
};

#define VARIANTS ((int)(sizeof variants / sizeof *variants))

static const char *const stem_types[] = {"", "deep_tiered", NULL};

typedef struct resnet_stage {
    const char *path; /* "layer1" */
    fv_bottleneck *blocks;
    int64_t depth;
} resnet_stage;

typedef struct resnet {
    fv_stem stem;
    resnet_stage stage[STAGES];
    fv_linear_layer fc;
} resnet;

static const char *variant_name(int i) { return i >= 0 && i < VARIANTS ? variants[i].name : NULL; }

/* ---- arguments ---- */

static const char *const arg_names[] = {"img_size",  "layers",   "channels", "stem_width",
                                        "stem_type", "avg_down", NULL};

static bool is_tiered(const resnet_args *a) { return a->stem_type[0] != '\0'; }

static fv_status read_args(fv_model *model, const fv_model_config *cfg, resnet_args *a) {
    fv_value *kwargs = model->kwargs;

    FV_TRY(fv_args_size(kwargs, cfg->img_size, &a->height, &a->width));
    FV_TRY(fv_args_ints(kwargs, "layers", 1, 1024, STAGES, a->layers));
    FV_TRY(fv_args_ints(kwargs, "channels", 1, 65536, STAGES, a->channels));
    FV_TRY(fv_value_get_int(kwargs, "stem_width", 4, 65536, &a->stem_width));
    FV_TRY(fv_args_word(kwargs, "stem_type", stem_types, &a->stem_type));
    FV_TRY(fv_value_get_bool(kwargs, "avg_down", &a->avg_down));
    FV_TRY(fv_value_check_known(kwargs, arg_names));
    FV_TRY(fv_value_check_known(model->attention, (const char *const[]){NULL}));
    FV_TRY(fv_value_check_known(model->pool, (const char *const[]){NULL}));
    return fv_value_check_known(model->pos, (const char *const[]){NULL});
}

static fv_status check_args(const fv_model *model, const resnet_args *a) {
    const fv_value *kwargs = model->kwargs;
    int64_t size[2] = {a->height, a->width};

    if (!is_tiered(a) && a->stem_width != 64)
        return fv_args_bad(kwargs, "stem_width", "a 7x7 stem has 64 channels");
    if (is_tiered(a) && a->stem_width % 4)
        return fv_args_bad(kwargs, "stem_width", "%" PRId64 " is not a multiple of 4",
                           a->stem_width);
    for (int i = 0; i < 2; i++)
        if (a->avg_down && size[i] % 32)
            return fv_args_bad(kwargs, "img_size",
                               "%" PRId64 "x%" PRId64 " px: means in the shortcuts need a "
                               "multiple of 32",
                               a->height, a->width);
    return FV_OK;
}

/* What differs from the variant, in timm's words. */
static fv_status write_args(fv_model *model, const resnet_variant *v, const resnet_args *a) {
    fv_arena *arena = &model->arena;
    fv_value *args = fv_value_new(arena, FV_VALUE_MAP);

    if (a->height != a->width)
        fv_value_set(arena, args, "img_size",
                     fv_args_int_list(arena, 2, (int64_t[]){a->height, a->width}));
    if (memcmp(a->layers, v->args.layers, sizeof a->layers) != 0)
        fv_value_set(arena, args, "layers", fv_args_int_list(arena, STAGES, a->layers));
    if (memcmp(a->channels, v->args.channels, sizeof a->channels) != 0)
        fv_value_set(arena, args, "channels", fv_args_int_list(arena, STAGES, a->channels));
    if (a->stem_width != v->args.stem_width)
        fv_value_set(arena, args, "stem_width", fv_value_int(arena, a->stem_width));
    if (strcmp(a->stem_type, v->args.stem_type) != 0)
        fv_value_set(arena, args, "stem_type", fv_value_string(arena, a->stem_type));
    if (a->avg_down != v->args.avg_down)
        fv_value_set(arena, args, "avg_down", fv_value_bool(arena, a->avg_down));
    model->args = args;
    return args && !args->incomplete ? FV_OK : FV_ERR_NOMEM;
}

/* ---- build ---- */

static int64_t half(int64_t pixels) { return (pixels + 1) / 2; }

/* Gradients are summed by chunks that the maps of the third stage measure: 1/16 of the image. */
static void fill_model(fv_model *model, const fv_model_config *cfg, const resnet_variant *v,
                       const resnet_args *a) {
    const int64_t h = half(half(half(half(a->height)))), w = half(half(half(half(a->width))));

    model->input = (fv_model_input){.height = a->height,
                                    .width = a->width,
                                    .mean = {0.485f, 0.456f, 0.406f},
                                    .std = {0.229f, 0.224f, 0.225f},
                                    .interpolation = "bicubic",
                                    .crop_pct = v->crop_pct,
                                    .any_size = true};
    model->num_classes = cfg->num_classes ? cfg->num_classes : 1000;
    model->num_features = EXPANSION * a->channels[STAGES - 1];
    model->tokens = h * w;
    model->grid_h = half(h);
    model->grid_w = half(w);
    model->global_pool = "avg";
    model->classifiers[0] = "fc";
}

static fv_status build_stages(resnet *m, fv_scope scope, const fv_model *model,
                              const resnet_args *a, int64_t in) {
    int64_t n = 0, total = 0;

    for (int s = 0; s < STAGES; s++) total += a->layers[s];
    for (int s = 0; s < STAGES; s++) {
        resnet_stage *stage = &m->stage[s];
        const fv_scope layer = fv_scope_child(scope, "layer%d", s + 1);
        fv_bottleneck_config cfg = {.in = in,
                                    .mid = a->channels[s],
                                    .out = EXPANSION * a->channels[s],
                                    .stride = s ? 2 : 1,
                                    .act = FV_RELU,
                                    .avg_shortcut = a->avg_down,
                                    .names = FV_NAMES_RESNET};
        stage->path = layer.path;
        stage->depth = a->layers[s];
        stage->blocks =
            fv_arena_calloc(scope.params->arena, (size_t)stage->depth, sizeof *stage->blocks);
        if (!stage->blocks) return FV_ERR_NOMEM;
        for (int64_t i = 0; i < stage->depth; i++, n++) {
            const double of_last = total > 1 ? (double)n / (double)(total - 1) : 0.0;
            cfg.drop_path = (float)(model->drop_path * of_last);
            FV_TRY(
                fv_bottleneck_init(&stage->blocks[i], fv_scope_child(layer, "%" PRId64, i), &cfg));
            cfg.in = in = cfg.out;
            cfg.stride = 1;
        }
    }
    return FV_OK;
}

/* PyTorch's initial values of a linear layer. */
static fv_status build_classifier(resnet *m, fv_scope scope, const fv_model *model) {
    const fv_init init = {FV_INIT_UNIFORM, (float)(1.0 / sqrt((double)model->num_features))};

    FV_TRY(fv_linear_layer_init(&m->fc, fv_scope_child(scope, "fc"), model->num_features,
                                model->num_classes, true));
    m->fc.weight->init = m->fc.bias->init = init;
    return FV_OK;
}

static fv_status name_features(fv_model *model, const resnet *m) {
    const char **names = fv_arena_alloc(&model->arena, STAGES + 1, sizeof *names);

    if (!names) return FV_ERR_NOMEM;
    names[0] = m->stem.path;
    for (int s = 0; s < STAGES; s++) names[s + 1] = m->stage[s].path;
    model->feature_names = names;
    model->n_features = STAGES + 1;
    return FV_OK;
}

static fv_status build(fv_model *model, const fv_model_config *cfg) {
    const resnet_variant *v = variants;
    while (strcmp(v->name, model->name) != 0) v++;
    resnet_args a = v->args;

    FV_TRY(read_args(model, cfg, &a));
    FV_TRY(check_args(model, &a));
    FV_TRY(write_args(model, v, &a));
    fill_model(model, cfg, v, &a);

    const fv_scope scope = {&model->params, ""};
    const fv_stem_config stem = {.kind = is_tiered(&a) ? FV_STEM_TIERED : FV_STEM_7X7,
                                 .dim = is_tiered(&a) ? 2 * a.stem_width : 64,
                                 .pool = true,
                                 .act = FV_RELU,
                                 .names = FV_NAMES_RESNET};
    resnet *m = fv_arena_calloc(&model->arena, 1, sizeof *m);
    if (!m) return FV_ERR_NOMEM;
    model->self = m;
    FV_TRY(fv_stem_init(&m->stem, scope, "stem", &stem));
    model->first_conv = fv_stem_first_conv(&m->stem);
    FV_TRY(build_stages(m, scope, model, &a, stem.dim));
    FV_TRY(build_classifier(m, scope, model));
    return name_features(model, m);
}

/* ---- forward ---- */

/* image [B,H,W,3] -> logits [B,K] */
static fv_var *forward(const fv_model *model, fv_var *image) {
    const resnet *m = model->self;

    fv_var *x = fv_stem_forward(&m->stem, image); /* [B,H/4,W/4,C0] */
    for (int s = 0; s < STAGES; s++) {
        const resnet_stage *stage = &m->stage[s];
        for (int64_t i = 0; i < stage->depth; i++)
            x = fv_bottleneck_forward(&stage->blocks[i], x); /* [B,H/4/2^s,W/4/2^s,C] */
        x = fv_tap(x, stage->path);
    }
    x = fv_mean_tokens(x, 0, fv_product_dtype(x->tape)); /* [B,C] */
    return fv_linear_layer_forward_f32(&m->fc, fv_tap(x, "pre_logits"));
}

const fv_family fv_family_resnet = {.name = "resnet",
                                    .variant = variant_name,
                                    .build = build,
                                    .forward = forward,
                                    .layers = {.stem = "conv1 bn1", .blocks = "layer#.#"}};
