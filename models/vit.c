/* vit.c - vision transformers: ViT (Dosovitskiy et al. 2021, "An image is worth 16x16 words") and DeiT
 * with or without distillation token (Touvron et al. 2021), in timm's form: patch embedding, class
 * token(s) in front, learned positions, pre-norm blocks, norm, linear classifier on the class token or,
 * with global_pool avg, on the mean of the grid's tokens (then there need not be a class token).
 *
 * The last norm is applied to what the classifier reads only: the class token, or the mean (timm calls
 * it fc_norm then). */
#include "core/ops.h"
#include "layers/block.h"
#include "layers/mixer_config.h"
#include "layers/patch_embed.h"
#include "models/model_list.h"

#include <inttypes.h>
#include <string.h>

typedef struct vit_variant {
    const char *name;
    int64_t img_size, patch_size, embed_dim, depth, num_heads; /* the MLP is 4 embed_dim wide */
    int64_t num_classes;
    bool deit; /* DeiT's pixels: ImageNet mean and deviation; else 0.5 and 0.5 */
    bool distilled;
} vit_variant;

static const vit_variant variants[] = {
    {"vit_tiny_patch16_224", 224, 16, 192, 12, 3, 1000, false, false},
    {"vit_small_patch16_224", 224, 16, 384, 12, 6, 1000, false, false},
    {"vit_base_patch16_224", 224, 16, 768, 12, 12, 1000, false, false},
    {"deit_tiny_patch16_224", 224, 16, 192, 12, 3, 1000, true, false},
    {"deit_small_patch16_224", 224, 16, 384, 12, 6, 1000, true, false},
    {"deit_base_patch16_224", 224, 16, 768, 12, 12, 1000, true, false},
    {"deit_tiny_distilled_patch16_224", 224, 16, 192, 12, 3, 1000, true, true},
    {"mini_vit", 32, 4, 64, 2, 4, 10, false, false},
    {"mini_deit_distilled", 32, 8, 48, 2, 3, 10, true, true},
};

#define VARIANTS ((int)(sizeof variants / sizeof *variants))

#define NORM_EPS 1e-6f

typedef struct vit {
    fv_param *cls_token;  /* [1,1,D]; NULL without one */
    fv_param *dist_token; /* [1,1,D]; NULL unless distilled */
    fv_param *pos_embed;  /* [1,T,D]; NULL without positions */
    fv_patch_embed patch_embed;
    fv_block *blocks; /* [depth] */
    int64_t depth;
    fv_norm_layer norm; /* "norm", or "fc_norm" of the mean */
    bool mean;          /* pools the grid's tokens */
    int64_t n_prefix;
    fv_linear_layer head;
    fv_linear_layer head_dist; /* distilled only */
} vit;

static const char *variant_name(int i) { return i >= 0 && i < VARIANTS ? variants[i].name : NULL; }

/* ---- arguments ---- */

typedef struct vit_args {
    int64_t height, width, patch_size, embed_dim, depth, num_heads; /* px, px, px */
    double mlp_ratio;
    bool qkv_bias, proj_bias, class_token;
    const char *pos_embed;   /* "learn" or "none" */
    const char *global_pool; /* "token" or "avg" */
} vit_args;

static const char *const arg_names[] = {"img_size",  "patch_size",  "embed_dim",   "depth",
                                        "num_heads", "mlp_ratio",   "qkv_bias",    "proj_bias",
                                        "pos_embed", "class_token", "global_pool", NULL};

/* A rule that a value of map breaks: "file:1:2: key: rule". */
#define BAD_VALUE(map, key, ...) \
    fv_error_context(FV_FAIL(FV_ERR_CONFIG, __VA_ARGS__), "%s%s", where_of(map, key, where), key)

static const char *where_of(const fv_value *map, const char *key, char where[512]) {
    const fv_value *v = fv_value_find(map, key);
    where[0] = '\0';
    return v ? fv_value_where(v, where) : where;
}

/* A word out of two; for keys where only one is implemented both are the same. */
static fv_status read_word(fv_value *map, const char *key, const char *first, const char *second,
                           const char **out) {
    char where[512];

    FV_TRY(fv_value_get_string(map, key, out));
    if (strcmp(*out, first) == 0 || strcmp(*out, second) == 0) return FV_OK;
    return BAD_VALUE(map, key, "'%s' is not available here; known: %s%s%s", *out, first,
                     first == second ? "" : ", ", first == second ? "" : second);
}

static fv_status read_size(fv_value *kwargs, int64_t img_size, vit_args *a) {
    int64_t size[2] = {a->height, a->width}, count = 0;

    FV_TRY(fv_value_get_ints(kwargs, "img_size", 1, 16384, 2, size, &count));
    a->height = img_size ? img_size : size[0];
    a->width = img_size ? img_size : size[count == 2];
    return FV_OK;
}

/* timm's constructor arguments, then the groups that say the same in our terms. */
static fv_status read_args(const fv_model *model, const fv_model_config *cfg, vit_args *a) {
    fv_value *kwargs = model->kwargs;
    const char *pool = NULL, *pos = NULL;

    FV_TRY(read_size(kwargs, cfg->img_size, a));
    FV_TRY(fv_value_get_int(kwargs, "patch_size", 1, 16384, &a->patch_size));
    FV_TRY(fv_value_get_int(kwargs, "embed_dim", 1, 65536, &a->embed_dim));
    FV_TRY(fv_value_get_int(kwargs, "depth", 1, 1024, &a->depth));
    FV_TRY(fv_value_get_int(kwargs, "num_heads", 1, 65536, &a->num_heads));
    FV_TRY(fv_value_get_real(kwargs, "mlp_ratio", 0.0, 64.0, &a->mlp_ratio));
    FV_TRY(fv_value_get_bool(kwargs, "qkv_bias", &a->qkv_bias));
    FV_TRY(fv_value_get_bool(kwargs, "proj_bias", &a->proj_bias));
    FV_TRY(fv_value_get_bool(kwargs, "class_token", &a->class_token));
    FV_TRY(read_word(kwargs, "pos_embed", "learn", "none", &a->pos_embed));
    FV_TRY(read_word(kwargs, "global_pool", "token", "avg", &a->global_pool));
    FV_TRY(fv_value_check_known(kwargs, arg_names));

    pool = strcmp(a->global_pool, "token") == 0 ? "cls" : "mean";
    FV_TRY(read_word(model->pool, "kind", "cls", "mean", &pool));
    a->global_pool = strcmp(pool, "cls") == 0 ? "token" : "avg";
    FV_TRY(fv_value_check_known(model->pool, (const char *const[]){"kind", NULL}));
    pos = strcmp(a->pos_embed, "learn") == 0 ? "learned" : "none";
    FV_TRY(read_word(model->pos, "kind", "learned", "none", &pos));
    FV_TRY(fv_value_check_known(model->pos, (const char *const[]){"kind", NULL}));
    a->pos_embed = strcmp(pos, "learned") == 0 ? "learn" : "none";

    int64_t heads = 0;
    FV_TRY(fv_value_get_int(model->attention, "heads", 0, 65536, &heads));
    if (heads) a->num_heads = heads;
    FV_TRY(fv_value_get_bool(model->attention, "qkv_bias", &a->qkv_bias));
    return fv_value_get_bool(model->attention, "proj_bias", &a->proj_bias);
}

static bool pools_mean(const vit_args *a) { return strcmp(a->global_pool, "avg") == 0; }

static fv_status check_args(const fv_model *model, const vit_variant *v, const vit_args *a) {
    const fv_value *kwargs = model->kwargs;
    char where[512];

    if (!a->class_token && !pools_mean(a))
        return BAD_VALUE(kwargs, "class_token", "without one, global_pool must be avg");
    if (v->distilled && (pools_mean(a) || !a->class_token))
        return BAD_VALUE(kwargs, a->class_token ? "global_pool" : "class_token",
                         "a distilled model reads its class and distillation tokens");

    if (a->height % a->patch_size || a->width % a->patch_size)
        return BAD_VALUE(kwargs, fv_value_find(kwargs, "patch_size") ? "patch_size" : "img_size",
                         "an image of %" PRId64 "x%" PRId64
                         " px does not divide into patches of %" PRId64 " px",
                         a->height, a->width, a->patch_size);
    if (a->embed_dim % a->num_heads)
        return BAD_VALUE(kwargs, "num_heads", "%" PRId64 " does not divide embed_dim %" PRId64,
                         a->num_heads, a->embed_dim);
    if ((double)a->embed_dim * a->mlp_ratio < 1.0)
        return BAD_VALUE(kwargs, "mlp_ratio", "%g leaves the MLP no width", a->mlp_ratio);
    return FV_OK;
}

/* model_args of config.json: all of them, so that timm's constructor builds the same network whatever
 * its own defaults are; the newer ones only when they are not at timm's default. */
static fv_status write_args(fv_model *model, const vit_args *a) {
    fv_arena *arena = &model->arena;
    fv_value *args = fv_value_new(arena, FV_VALUE_MAP), *size = fv_value_int(arena, a->height);

    if (a->height != a->width) {
        size = fv_value_new(arena, FV_VALUE_LIST);
        fv_value_add(size, fv_value_int(arena, a->height));
        fv_value_add(size, fv_value_int(arena, a->width));
    }
    fv_value_set(arena, args, "img_size", size);
    fv_value_set(arena, args, "patch_size", fv_value_int(arena, a->patch_size));
    fv_value_set(arena, args, "embed_dim", fv_value_int(arena, a->embed_dim));
    fv_value_set(arena, args, "depth", fv_value_int(arena, a->depth));
    fv_value_set(arena, args, "num_heads", fv_value_int(arena, a->num_heads));
    fv_value_set(arena, args, "mlp_ratio", fv_value_real(arena, a->mlp_ratio));
    fv_value_set(arena, args, "qkv_bias", fv_value_bool(arena, a->qkv_bias));
    if (!a->class_token) fv_value_set(arena, args, "class_token", fv_value_bool(arena, false));
    if (pools_mean(a)) fv_value_set(arena, args, "global_pool", fv_value_string(arena, "avg"));
    if (!a->proj_bias) fv_value_set(arena, args, "proj_bias", fv_value_bool(arena, false));
    if (strcmp(a->pos_embed, "none") == 0)
        fv_value_set(arena, args, "pos_embed", fv_value_string(arena, "none"));
    model->args = args;
    return args && !args->incomplete && (!size || !size->incomplete) ? FV_OK : FV_ERR_NOMEM;
}

/* ---- build ---- */

static void fill_model(fv_model *model, const fv_model_config *cfg, const vit_variant *v,
                       const vit_args *a) {
    static const float mean[3] = {0.485f, 0.456f, 0.406f}, std[3] = {0.229f, 0.224f, 0.225f};

    model->input = (fv_model_input){
        .height = a->height, .width = a->width, .interpolation = "bicubic", .crop_pct = 0.9};
    for (int c = 0; c < 3; c++) {
        model->input.mean[c] = v->deit ? mean[c] : 0.5f;
        model->input.std[c] = v->deit ? std[c] : 0.5f;
    }
    model->num_classes = cfg->num_classes ? cfg->num_classes : v->num_classes;
    model->num_features = a->embed_dim;
    model->grid_h = a->height / a->patch_size;
    model->grid_w = a->width / a->patch_size;
    model->prefix_tokens = v->distilled ? 2 : a->class_token ? 1 : 0;
    model->tokens = model->prefix_tokens + model->grid_h * model->grid_w;
    model->global_pool = a->global_pool;
    model->first_conv = "patch_embed.proj";
    model->classifiers[0] = "head";
    model->classifiers[1] = v->distilled ? "head_dist" : NULL;
}

/* cls_token, pos_embed, dist_token: this order, and no weight decay. */
static fv_status build_tokens(vit *m, fv_scope scope, const fv_model *model, const vit_args *a) {
    const int64_t D = a->embed_dim;
    const fv_init tiny = {FV_INIT_NORMAL, 1e-6f}, small = {FV_INIT_TRUNC_NORMAL, 0.02f};

    if (a->class_token) {
        FV_TRY(fv_scope_param(scope, "cls_token", fv_shape_of(3, (int64_t)1, (int64_t)1, D), tiny,
                              &m->cls_token));
        m->cls_token->no_decay_hint = true;
    }
    if (strcmp(a->pos_embed, "learn") == 0) {
        FV_TRY(fv_scope_param(scope, "pos_embed", fv_shape_of(3, (int64_t)1, model->tokens, D),
                              small, &m->pos_embed));
        m->pos_embed->no_decay_hint = true;
    }
    if (model->prefix_tokens < 2) return FV_OK;
    FV_TRY(fv_scope_param(scope, "dist_token", fv_shape_of(3, (int64_t)1, (int64_t)1, D), small,
                          &m->dist_token));
    m->dist_token->no_decay_hint = true;
    return FV_OK;
}

static fv_status build_blocks(vit *m, fv_scope scope, const fv_model *model, const vit_args *a) {
    m->depth = a->depth;
    m->blocks = fv_arena_calloc(scope.params->arena, (size_t)a->depth, sizeof *m->blocks);
    if (!m->blocks) return FV_ERR_NOMEM;
    fv_block_config cfg = {.shape = {.n_tokens = model->tokens,
                                     .n_prefix = model->prefix_tokens,
                                     .grid_h = model->grid_h,
                                     .grid_w = model->grid_w,
                                     .dim = a->embed_dim,
                                     .heads = a->num_heads,
                                     .qkv_bias = a->qkv_bias,
                                     .proj_bias = a->proj_bias},
                           .mlp_hidden = (int64_t)((double)a->embed_dim * a->mlp_ratio),
                           .norm_eps = NORM_EPS,
                           .attention = model->attention};
    for (int64_t i = 0; i < a->depth; i++) {
        const double of_last = a->depth > 1 ? (double)i / (double)(a->depth - 1) : 0.0;
        cfg.drop_path = (float)(model->drop_path * of_last);
        cfg.shape.layer = i;
        FV_TRY(fv_block_init(&m->blocks[i], fv_scope_child(scope, "blocks.%" PRId64, i), &cfg));
    }
    return fv_mixer_config_check(model->attention);
}

static fv_status name_features(fv_model *model, const vit *m) {
    const char **names = fv_arena_alloc(&model->arena, (size_t)m->depth + 1, sizeof *names);

    if (!names) return FV_ERR_NOMEM;
    names[0] = "tokens";
    for (int64_t i = 0; i < m->depth; i++) names[i + 1] = m->blocks[i].path;
    model->feature_names = names;
    model->n_features = (int)m->depth + 1;
    return FV_OK;
}

static fv_status build(fv_model *model, const fv_model_config *cfg) {
    const vit_variant *v = variants;
    while (strcmp(v->name, model->name) != 0) v++;
    vit_args a = {.height = v->img_size,
                  .width = v->img_size,
                  .patch_size = v->patch_size,
                  .embed_dim = v->embed_dim,
                  .depth = v->depth,
                  .num_heads = v->num_heads,
                  .mlp_ratio = 4.0,
                  .qkv_bias = true,
                  .proj_bias = true,
                  .class_token = true,
                  .pos_embed = "learn",
                  .global_pool = "token"};

    FV_TRY(read_args(model, cfg, &a));
    FV_TRY(check_args(model, v, &a));
    FV_TRY(write_args(model, &a));
    fill_model(model, cfg, v, &a);

    const fv_scope scope = {&model->params, ""};
    const int64_t D = a.embed_dim, K = model->num_classes;
    vit *m = fv_arena_calloc(&model->arena, 1, sizeof *m);
    if (!m) return FV_ERR_NOMEM;
    model->self = m;
    FV_TRY(build_tokens(m, scope, model, &a));
    FV_TRY(fv_patch_embed_init(&m->patch_embed, fv_scope_child(scope, "patch_embed"), D,
                               a.patch_size));
    FV_TRY(build_blocks(m, scope, model, &a));
    m->mean = pools_mean(&a);
    m->n_prefix = model->prefix_tokens;
    FV_TRY(fv_norm_layer_init(&m->norm, fv_scope_child(scope, m->mean ? "fc_norm" : "norm"), D,
                              NORM_EPS));
    FV_TRY(fv_linear_layer_init(&m->head, fv_scope_child(scope, "head"), D, K, true));
    if (v->distilled)
        FV_TRY(fv_linear_layer_init(&m->head_dist, fv_scope_child(scope, "head_dist"), D, K, true));
    return name_features(model, m);
}

/* ---- forward ---- */

/* x [B,T,D] -> logits [B,K]: the class token's, or those of the grid's mean. */
static fv_var *classify(const vit *m, fv_var *x) {
    x = m->mean ? fv_mean_tokens(x, m->n_prefix, FV_F32) : fv_select_token(x, 0); /* [B,D] */
    x = fv_tap(fv_norm_layer_forward(&m->norm, x), "pre_logits");                 /* [B,D] */
    return fv_linear_layer_forward_f32(&m->head, x);                              /* [B,K] */
}

/* The mean of what the class token's and the distillation token's classifiers say. */
static fv_var *classify_distilled(const vit *m, fv_var *x) {
    x = fv_slice_tokens(x, 0, 2);                                                  /* [B,2,D] */
    x = fv_tap(fv_norm_layer_forward(&m->norm, x), "pre_logits");                  /* [B,2,D] */
    fv_var *a = fv_linear_layer_forward_f32(&m->head, fv_select_token(x, 0));      /* [B,K] */
    fv_var *b = fv_linear_layer_forward_f32(&m->head_dist, fv_select_token(x, 1)); /* [B,K] */
    return fv_scale(fv_add(a, b), 0.5f);
}

/* image [B,H,W,3] -> logits [B,K]; T = prefix + HW/P^2 tokens. */
static fv_var *forward(const fv_model *model, fv_var *image) {
    const vit *m = model->self;
    fv_tape *tape = image->tape;

    fv_var *x = fv_patch_embed_forward(&m->patch_embed, image); /* [B,HW/P^2,D] */
    if (m->dist_token) x = fv_prepend_token(x, fv_param_var(tape, m->dist_token)); /* [B,T-1,D] */
    if (m->cls_token) x = fv_prepend_token(x, fv_param_var(tape, m->cls_token));   /* [B,T,D] */
    if (m->pos_embed) x = fv_add_pos(x, fv_param_var(tape, m->pos_embed));         /* [B,T,D] */
    x = fv_tap(x, "tokens");
    for (int64_t i = 0; i < m->depth; i++) x = fv_block_forward(&m->blocks[i], x); /* [B,T,D] */
    return m->dist_token ? classify_distilled(m, x) : classify(m, x);
}

const fv_family fv_family_vit = {.name = "vit",
                                 .variant = variant_name,
                                 .build = build,
                                 .forward = forward,
                                 .layers = {.stem = "cls_token dist_token pos_embed patch_embed",
                                            .blocks = "blocks.#",
                                            .last = "norm"}};
