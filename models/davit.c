/* davit.c - DaViT (Ding et al. 2022, "DaViT: Dual Attention Vision Transformers") in timm's form: maps
 * that become smaller and wider from stage to stage, blocks in pairs whose tokens mix inside of windows
 * (spatial) and then between channels, means of the last map to the classifier.
 *
 * `depths` counts pairs: stages.S.blocks.D.0 is the spatial block, .1 the channel block.  Stochastic depth
 * has one rate per pair, linear over pairs, as in timm (the authors: one per block). */
#include "core/ops.h"
#include "layers/davit_block.h"
#include "layers/davit_down.h"
#include "layers/mixer_config.h"
#include "models/args.h"
#include "models/model_list.h"

#include <inttypes.h>
#include <string.h>

#define MAX_STAGES  8
#define PAIR        2 /* blocks: spatial, channel */
#define NORM_EPS    1e-5f
#define CHUNK_STAGE 2 /* whose maps measure the chunks of gradients: 1/16 of the image */

typedef struct davit_args {
    int64_t n_stages, depths[MAX_STAGES], dims[MAX_STAGES], heads[MAX_STAGES];
    int64_t window; /* side of a window, in pixels of the stage's map */
    int64_t height, width;
    double mlp_ratio;
    bool qkv_bias;
} davit_args;

typedef struct davit_variant {
    const char *name;
    int64_t img_size, num_classes, window;
    int64_t depths[4], dims[4], heads[4];
} davit_variant;

static const davit_variant variants[] = {
    {"davit_tiny", 224, 1000, 7, {1, 1, 3, 1}, {96, 192, 384, 768}, {3, 6, 12, 24}},
    {"davit_small", 224, 1000, 7, {1, 1, 9, 1}, {96, 192, 384, 768}, {3, 6, 12, 24}},
    {"davit_base", 224, 1000, 7, {1, 1, 9, 1}, {128, 256, 512, 1024}, {4, 8, 16, 32}},
    {"davit_large", 224, 1000, 7, {1, 1, 9, 1}, {192, 384, 768, 1536}, {6, 12, 24, 48}},
    {"mini_davit", 64, 10, 7, {1, 1, 1, 1}, {32, 64, 128, 256}, {1, 2, 4, 8}},
    {"mini_davit_even", 64, 10, 4, {1, 1, 2, 1}, {32, 64, 96, 128}, {2, 4, 6, 8}},
};

#define VARIANTS ((int)(sizeof variants / sizeof *variants))

typedef struct davit_stage {
    const char *path;
    fv_davit_downsample downsample; /* not in stage 0 */
    fv_davit_block *blocks;         /* [PAIR depth] */
    int64_t n_blocks;
} davit_stage;

typedef struct davit {
    fv_davit_stem stem;
    davit_stage stage[MAX_STAGES];
    int64_t n_stages;
    fv_norm_layer norm;
    fv_linear_layer fc;
} davit;

static const char *variant_name(int i) { return i >= 0 && i < VARIANTS ? variants[i].name : NULL; }

/* ---- arguments ---- */

static const char *const arg_names[] = {"img_size",    "depths",      "embed_dims",
                                        "num_heads",   "mlp_ratio",   "qkv_bias",
                                        "window_size", "global_pool", NULL};

static davit_args defaults_of(const davit_variant *v) {
    davit_args a = {.n_stages = 4,
                    .window = v->window,
                    .height = v->img_size,
                    .width = v->img_size,
                    .mlp_ratio = 4.0,
                    .qkv_bias = true};

    for (int s = 0; s < 4; s++) {
        a.depths[s] = v->depths[s];
        a.dims[s] = v->dims[s];
        a.heads[s] = v->heads[s];
    }
    return a;
}

/* The three lists have one entry per stage. */
static fv_status read_stages(fv_value *kwargs, davit_args *a) {
    int64_t n_dims = a->n_stages, n_heads = a->n_stages;

    FV_TRY(fv_value_get_ints(kwargs, "depths", 1, 1024, MAX_STAGES, a->depths, &a->n_stages));
    FV_TRY(fv_value_get_ints(kwargs, "embed_dims", 1, 65536, MAX_STAGES, a->dims, &n_dims));
    FV_TRY(fv_value_get_ints(kwargs, "num_heads", 1, 65536, MAX_STAGES, a->heads, &n_heads));
    if (a->n_stages < 1) return fv_args_bad(kwargs, "depths", "there is no stage");
    if (n_dims != a->n_stages)
        return fv_args_bad(kwargs, "embed_dims", "%" PRId64 " widths for %" PRId64 " stages",
                           n_dims, a->n_stages);
    if (n_heads != a->n_stages)
        return fv_args_bad(kwargs, "num_heads", "%" PRId64 " numbers for %" PRId64 " stages",
                           n_heads, a->n_stages);
    return FV_OK;
}

static fv_status read_args(fv_model *model, const fv_model_config *cfg, davit_args *a) {
    static const char *const pools[] = {"avg", NULL}, *const kinds[] = {"mean", NULL};
    const char *pool = pools[0], *kind = kinds[0];
    fv_value *kwargs = model->kwargs;

    FV_TRY(fv_args_size(kwargs, cfg->img_size, &a->height, &a->width));
    FV_TRY(read_stages(kwargs, a));
    FV_TRY(fv_value_get_real(kwargs, "mlp_ratio", 0.0, 64.0, &a->mlp_ratio));
    FV_TRY(fv_value_get_bool(kwargs, "qkv_bias", &a->qkv_bias));
    FV_TRY(fv_value_get_int(kwargs, "window_size", 1, 16384, &a->window));
    FV_TRY(fv_args_word(kwargs, "global_pool", pools, &pool));
    FV_TRY(fv_value_check_known(kwargs, arg_names));
    FV_TRY(fv_args_word(model->pool, "kind", kinds, &kind));
    FV_TRY(fv_value_check_known(model->pool, (const char *const[]){"kind", NULL}));
    FV_TRY(fv_value_check_known(model->pos, (const char *const[]){NULL}));
    for (int64_t s = 0; s < a->n_stages; s++) {
        if (a->dims[s] % a->heads[s])
            return fv_args_bad(kwargs, "num_heads",
                               "%" PRId64 " does not divide the width %" PRId64
                               " of stage %" PRId64,
                               a->heads[s], a->dims[s], s);
        if ((double)a->dims[s] * a->mlp_ratio < 1.0)
            return fv_args_bad(kwargs, "mlp_ratio", "%g leaves the MLP no width", a->mlp_ratio);
    }
    return FV_OK;
}

/* model_args of config.json: all that timm's constructor takes; its sizes are free, so the image's is not
 * one of them, but a rectangle has no other place. */
static fv_status write_args(fv_model *model, const davit_args *a) {
    fv_arena *arena = &model->arena;
    fv_value *args = fv_value_new(arena, FV_VALUE_MAP);

    if (a->height != a->width)
        fv_value_set(arena, args, "img_size",
                     fv_args_int_list(arena, 2, (int64_t[]){a->height, a->width}));
    fv_value_set(arena, args, "depths", fv_args_int_list(arena, a->n_stages, a->depths));
    fv_value_set(arena, args, "embed_dims", fv_args_int_list(arena, a->n_stages, a->dims));
    fv_value_set(arena, args, "num_heads", fv_args_int_list(arena, a->n_stages, a->heads));
    fv_value_set(arena, args, "window_size", fv_value_int(arena, a->window));
    fv_value_set(arena, args, "mlp_ratio", fv_value_real(arena, a->mlp_ratio));
    if (!a->qkv_bias) fv_value_set(arena, args, "qkv_bias", fv_value_bool(arena, false));
    model->args = args;
    return args && !args->incomplete ? FV_OK : FV_ERR_NOMEM;
}

/* ---- build ---- */

/* Rows or columns of a stage's map. */
static int64_t map_side(int64_t pixels, int64_t stage) {
    int64_t n = (pixels + 3) / 4;
    while (stage-- > 0) n = (n + 1) / 2;
    return n;
}

static void fill_model(fv_model *model, const fv_model_config *cfg, const davit_variant *v,
                       const davit_args *a) {
    const int64_t last = a->n_stages - 1, chunk = last < CHUNK_STAGE ? last : CHUNK_STAGE;

    model->input = (fv_model_input){.height = a->height,
                                    .width = a->width,
                                    .mean = {0.485f, 0.456f, 0.406f},
                                    .std = {0.229f, 0.224f, 0.225f},
                                    .interpolation = "bicubic",
                                    .crop_pct = 0.95,
                                    .any_size = true};
    model->num_classes = cfg->num_classes ? cfg->num_classes : v->num_classes;
    model->num_features = a->dims[last];
    model->tokens = map_side(a->height, chunk) * map_side(a->width, chunk);
    model->grid_h = map_side(a->height, last);
    model->grid_w = map_side(a->width, last);
    model->global_pool = "avg";
    model->first_conv = "stem.conv";
    model->classifiers[0] = "head.fc";
}

/* Pair number `first_pair` + i of `pairs` is blocks.i. */
static fv_status build_blocks(davit_stage *stage, fv_scope scope, const fv_model *model,
                              fv_block_config *cfg, int64_t first_pair, int64_t pairs) {
    static const char *const kinds[PAIR] = {"window", "channel"};

    stage->blocks =
        fv_arena_calloc(scope.params->arena, (size_t)stage->n_blocks, sizeof *stage->blocks);
    if (!stage->blocks) return FV_ERR_NOMEM;
    for (int64_t i = 0; i < stage->n_blocks; i++) {
        const int64_t pair = first_pair + i / PAIR;
        const double of_last = pairs > 1 ? (double)pair / (double)(pairs - 1) : 0.0;
        cfg->drop_path = (float)(model->drop_path * of_last);
        cfg->shape.layer = PAIR * first_pair + i;
        cfg->shape.kind = kinds[i % PAIR];
        FV_TRY(fv_davit_block_init(
            &stage->blocks[i],
            fv_scope_child(scope, "blocks.%" PRId64 ".%" PRId64, i / PAIR, i % PAIR), cfg));
    }
    return FV_OK;
}

static fv_status build_stages(davit *m, fv_scope scope, const fv_model *model,
                              const davit_args *a) {
    int64_t pairs = 0, first = 0;

    m->n_stages = a->n_stages;
    for (int64_t s = 0; s < a->n_stages; s++) pairs += a->depths[s];
    for (int64_t s = 0; s < a->n_stages; first += a->depths[s++]) {
        davit_stage *stage = &m->stage[s];
        const fv_scope here = fv_scope_child(scope, "stages.%" PRId64, s);
        const int64_t rows = map_side(a->height, s), columns = map_side(a->width, s);
        fv_block_config cfg = {.shape = {.n_tokens = rows * columns,
                                         .grid_h = rows,
                                         .grid_w = columns,
                                         .dim = a->dims[s],
                                         .heads = a->heads[s],
                                         .qkv_bias = a->qkv_bias,
                                         .proj_bias = true,
                                         .window = a->window,
                                         .stage = s},
                               .mlp_hidden = (int64_t)((double)a->dims[s] * a->mlp_ratio),
                               .norm_eps = NORM_EPS,
                               .attention = model->attention};
        stage->path = here.path;
        stage->n_blocks = PAIR * a->depths[s];
        if (s > 0)
            FV_TRY(fv_davit_downsample_init(&stage->downsample, fv_scope_child(here, "downsample"),
                                            a->dims[s - 1], a->dims[s], NORM_EPS));
        FV_TRY(build_blocks(stage, here, model, &cfg, first, pairs));
    }
    return fv_mixer_config_check(model->attention);
}

static fv_status name_features(fv_model *model, const davit *m) {
    const char **names = fv_arena_alloc(&model->arena, (size_t)m->n_stages + 1, sizeof *names);

    if (!names) return FV_ERR_NOMEM;
    names[0] = m->stem.path;
    for (int64_t s = 0; s < m->n_stages; s++) names[s + 1] = m->stage[s].path;
    model->feature_names = names;
    model->n_features = (int)m->n_stages + 1;
    return FV_OK;
}

static fv_status build(fv_model *model, const fv_model_config *cfg) {
    const davit_variant *v = variants;
    while (strcmp(v->name, model->name) != 0) v++;
    davit_args a = defaults_of(v);

    FV_TRY(read_args(model, cfg, &a));
    FV_TRY(write_args(model, &a));
    fill_model(model, cfg, v, &a);

    const fv_scope scope = {&model->params, ""}, head = fv_scope_child(scope, "head");
    davit *m = fv_arena_calloc(&model->arena, 1, sizeof *m);
    if (!m) return FV_ERR_NOMEM;
    model->self = m;
    FV_TRY(fv_davit_stem_init(&m->stem, fv_scope_child(scope, "stem"), a.dims[0], NORM_EPS));
    FV_TRY(build_stages(m, scope, model, &a));
    FV_TRY(
        fv_norm_layer_init(&m->norm, fv_scope_child(head, "norm"), model->num_features, NORM_EPS));
    FV_TRY(fv_linear_layer_init(&m->fc, fv_scope_child(head, "fc"), model->num_features,
                                model->num_classes, true));
    return name_features(model, m);
}

/* ---- forward ---- */

/* image [B,H,W,3] -> logits [B,K] */
static fv_var *forward(const fv_model *model, fv_var *image) {
    const davit *m = model->self;

    fv_var *x = fv_davit_stem_forward(&m->stem, image); /* [B,H/4,W/4,C0] */
    for (int64_t s = 0; s < m->n_stages; s++) {
        const davit_stage *stage = &m->stage[s];
        if (s > 0) x = fv_davit_downsample_forward(&stage->downsample, x); /* [B,H/4/2^s,...,C] */
        for (int64_t i = 0; i < stage->n_blocks; i++)
            x = fv_davit_block_forward(&stage->blocks[i], x);
        x = fv_tap(x, stage->path);
    }
    x = fv_mean_tokens(x, 0, FV_F32);                             /* [B,C] */
    x = fv_tap(fv_norm_layer_forward(&m->norm, x), "pre_logits"); /* [B,C] */
    return fv_linear_layer_forward_f32(&m->fc, x);                /* [B,K] */
}

const fv_family fv_family_davit = {
    .name = "davit",
    .variant = variant_name,
    .build = build,
    .forward = forward,
    .layers = {.stem = "stem", .blocks = "stages.#.downsample stages.#.blocks.#"}};
