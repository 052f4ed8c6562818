/* layers.safetensors: one layer per case, built by layers/, with stored input, parameters and upstream
 * gradient; output, input gradient and every parameter gradient are compared. */
#include "core/alloc.h"
#include "core/tape.h"
#include "layers/batchnorm.h"
#include "layers/block.h"
#include "layers/bottleneck.h"
#include "layers/halo_attention.h"
#include "layers/linear.h"
#include "layers/mixer_list.h"
#include "layers/norm.h"
#include "layers/patch_embed.h"
#include "tests/golden_runner/layer_case.h"

#include <math.h>
#include <string.h>

#define TOLERANCE 1e-5 /* of the largest value */

/* That of the case that runs. */
static union {
    fv_linear_layer linear;
    fv_norm_layer norm;
    fv_batchnorm_layer batchnorm;
    struct {
        fv_param *weight, *bias;
    } conv;
    fv_patch_embed patch;
    fv_mixer_layer mixer;
    fv_block block;
    fv_bottleneck bottleneck;
    fv_halo_attention halo;
} layer;

int64_t layer_case_int(const layer_case *c, const char *key) {
    const fv_value *v = fv_value_find(c->meta, key);
    return v ? v->integer : 0;
}

static fv_mixer_shape token_shape(const layer_case *c) {
    const bool bias = strstr(c->name, "nobias") == NULL;
    return (fv_mixer_shape){.n_tokens = c->x_shape.dim[1],
                            .dim = c->x_shape.dim[2],
                            .heads = layer_case_int(c, "heads"),
                            .qkv_bias = bias,
                            .proj_bias = true};
}

static fv_status linear_init(layer_case *c, fv_scope scope) {
    return fv_linear_layer_init(&layer.linear, scope, fv_shape_last(&c->x_shape),
                                fv_shape_last(&c->y_shape), true);
}
static fv_var *linear_forward(layer_case *c, fv_var *x) {
    (void)c;
    return fv_linear_layer_forward(&layer.linear, x);
}

static fv_status layernorm_init(layer_case *c, fv_scope scope) {
    const fv_value *eps = fv_value_find(c->meta, "eps");
    return fv_norm_layer_init(&layer.norm, scope, fv_shape_last(&c->x_shape),
                              eps ? (float)eps->real : 0.0f);
}
static fv_var *layernorm_forward(layer_case *c, fv_var *x) {
    (void)c;
    return fv_norm_layer_forward(&layer.norm, x);
}

static fv_status batchnorm_init(layer_case *c, fv_scope scope) {
    return fv_batchnorm_layer_init(&layer.batchnorm, scope, fv_shape_last(&c->x_shape));
}
static fv_var *batchnorm_forward(layer_case *c, fv_var *x) {
    (void)c;
    return fv_batchnorm_layer_forward(&layer.batchnorm, x);
}

static fv_status no_init(layer_case *c, fv_scope scope) {
    (void)c, (void)scope;
    return FV_OK;
}
static fv_var *gelu_forward(layer_case *c, fv_var *x) {
    (void)c;
    return fv_gelu(x);
}
static fv_var *silu_forward(layer_case *c, fv_var *x) {
    (void)c;
    return fv_silu(x);
}
static fv_var *max_pool_forward(layer_case *c, fv_var *x) {
    (void)c;
    return fv_max_pool(x, 3, 2, 1);
}
static fv_var *avg_pool_forward(layer_case *c, fv_var *x) {
    (void)c;
    return fv_avg_pool(x, 2, 2);
}
static fv_var *softmax_forward(layer_case *c, fv_var *x) {
    (void)c;
    return fv_softmax(x);
}

static fv_status conv_init(layer_case *c, fv_scope scope) {
    const fv_init zeros = {FV_INIT_ZEROS, 0.0f};
    const bool bias = strncmp(c->name, "dw", 2) == 0;
    fv_shape w;

    layer.conv.bias = NULL;
    if (!golden_f32(c->g, golden_text(c->g, "%s/param.weight", c->name), &w))
        return FV_FAIL(FV_ERR_FORMAT, "no weight");
    FV_TRY(fv_scope_param(scope, "weight", w, zeros, &layer.conv.weight));
    return bias ? fv_scope_param(scope, "bias", fv_shape_of(1, w.dim[0]), zeros, &layer.conv.bias)
                : FV_OK;
}
/* Stride and padding are in the names and in prose only. */
static fv_var *conv_forward(layer_case *c, fv_var *x) {
    const fv_param *w = layer.conv.weight;
    const fv_conv2d_args args = {.stride = strstr(c->name, "s2") ? 2 : 1,
                                 .padding = w->shape.dim[2] / 2,
                                 .groups = fv_dim(x, 3) / w->shape.dim[1]};
    fv_var *bias = layer.conv.bias ? fv_param_var(c->tape, layer.conv.bias) : NULL;
    return fv_conv2d(x, fv_param_var(c->tape, layer.conv.weight), bias, &args);
}

static fv_status patch_init(layer_case *c, fv_scope scope) {
    fv_shape w;
    golden_f32(c->g, golden_text(c->g, "%s/param.proj.weight", c->name), &w);
    return fv_patch_embed_init(&layer.patch, scope, fv_shape_last(&c->y_shape), w.dim[3]);
}
static fv_var *patch_forward(layer_case *c, fv_var *x) {
    (void)c;
    return fv_patch_embed_forward(&layer.patch, x);
}

static fv_status mha_init(layer_case *c, fv_scope scope) {
    const fv_mixer_shape shape = token_shape(c);
    return fv_mixer_layer_init(&layer.mixer, scope, NULL, &shape);
}
static fv_var *mha_forward(layer_case *c, fv_var *x) {
    (void)c;
    return fv_mixer_layer_forward(&layer.mixer, x);
}

static fv_status block_init(layer_case *c, fv_scope scope) {
    const fv_block_config cfg = {
        .shape = token_shape(c), .mlp_hidden = 4 * c->x_shape.dim[2], .norm_eps = 1e-6f};
    return fv_block_init(&layer.block, scope, &cfg);
}
static fv_var *block_forward(layer_case *c, fv_var *x) {
    (void)c;
    return fv_block_forward(&layer.block, x);
}

/* Stride 2, ratios of 0.25 (rounded to 16 channels) and 0.5: in prose only. */
static fv_status bottleneck_init(layer_case *c, fv_scope scope) {
    const bool attends = strcmp(c->name, "byob_selfattn") == 0;
    const fv_halo_config halo = {.heads = 2, .block = 4, .halo = 1};
    const fv_bottleneck_config cfg = {.in = fv_shape_last(&c->x_shape),
                                      .mid = attends ? 24 : 16,
                                      .out = fv_shape_last(&c->y_shape),
                                      .stride = 2,
                                      .halo = attends ? halo : (fv_halo_config){0},
                                      .act = FV_RELU};
    return fv_bottleneck_init(&layer.bottleneck, scope, &cfg);
}
static fv_var *bottleneck_forward(layer_case *c, fv_var *x) {
    (void)c;
    return fv_bottleneck_forward(&layer.bottleneck, x);
}

static fv_status halo_init(layer_case *c, fv_scope scope) {
    const fv_halo_config cfg = {.dim = c->x_shape.dim[3],
                                .dim_out = c->y_shape.dim[3],
                                .heads = layer_case_int(c, "heads"),
                                .dim_head = layer_case_int(c, "dim_head"),
                                .block = layer_case_int(c, "block"),
                                .halo = layer_case_int(c, "halo"),
                                .stride = layer_case_int(c, "stride")};
    return fv_halo_attention_init(&layer.halo, scope, &cfg);
}
static fv_var *halo_forward(layer_case *c, fv_var *x) {
    (void)c;
    return fv_halo_attention_forward(&layer.halo, x);
}

static const layer_kind kinds[] = {
    {"linear", 0, false, linear_init, linear_forward},
    {"layernorm", 0, false, layernorm_init, layernorm_forward},
    {"layernorm2d", MAPS, false, layernorm_init, layernorm_forward},
    {"batchnorm_train", MAPS, false, batchnorm_init, batchnorm_forward},
    {"batchnorm_eval", MAPS, true, batchnorm_init, batchnorm_forward},
    {"gelu", 0, false, no_init, gelu_forward},
    {"silu", 0, false, no_init, silu_forward},
    {"softmax", 0, false, no_init, softmax_forward},
    {"maxpool", MAPS, false, no_init, max_pool_forward},
    {"avgpool2", MAPS, false, no_init, avg_pool_forward},
    {"conv3s2", MAPS, false, conv_init, conv_forward},
    {"conv7s2", MAPS, false, conv_init, conv_forward},
    {"conv_group", MAPS, false, conv_init, conv_forward},
    {"dwconv3", MAPS, false, conv_init, conv_forward},
    {"dwconv5", MAPS, false, conv_init, conv_forward},
    {"byob_bottleneck", MAPS, false, bottleneck_init, bottleneck_forward},
    {"byob_selfattn", MAPS, false, bottleneck_init, bottleneck_forward},
    {"patch_embed", X_NCHW, false, patch_init, patch_forward},
    {"mha", 0, false, mha_init, mha_forward},
    {"mha_nobias", 0, false, mha_init, mha_forward},
    {"vit_block", 0, false, block_init, block_forward},
    {"halo_8_3", MAPS, false, halo_init, halo_forward},
    {"halo_4_1_rect", MAPS, false, halo_init, halo_forward},
    {"halo_8_2_stride2", MAPS, false, halo_init, halo_forward},
    {"halo_4_2_dimhead", MAPS, false, halo_init, halo_forward},
    {"halo_7_2_avgdown", MAPS, false, halo_init, halo_forward},
    {0},
};

static const layer_kind *const tables[] = {kinds, layer_kinds_davit, layer_kinds_biformer};

static const layer_kind *find_kind(const char *name) {
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++)
        for (const layer_kind *kind = tables[t]; kind->name; kind++)
            if (strcmp(kind->name, name) == 0) return kind;
    return NULL;
}

/* [N,C,H,W] to [N,H,W,C], or back. */
static float *swap_axes(golden *g, const float *from, const fv_shape *nchw, bool back) {
    const int64_t N = nchw->dim[0], C = nchw->dim[1], P = nchw->dim[2] * nchw->dim[3];
    float *to = fv_arena_alloc(&g->arena, (size_t)(N * C * P), sizeof *to);

    for (int64_t n = 0; to && n < N; n++)
        for (int64_t c = 0; c < C; c++)
            for (int64_t p = 0; p < P; p++) {
                const int64_t planar = (n * C + c) * P + p, packed = (n * P + p) * C + c;
                to[back ? planar : packed] = from[back ? packed : planar];
            }
    return to;
}

static bool load_params(layer_case *c) {
    for (int64_t i = 0; i < c->params.count; i++) {
        fv_param *p = c->params.item[i];
        fv_shape shape;
        if (p->flags & FV_PARAM_I64) continue; /* a counter that starts at 0 */
        const char *name = golden_text(c->g, "%s/param.%s", c->name, p->name);
        const float *stored = golden_f32(c->g, name, &shape);
        if (!stored) return false;
        if (!fv_shape_equal(&shape, &p->shape)) {
            golden_fail(c->g, name, "another shape than the layer's");
            return false;
        }
        memcpy(p->value, stored, (size_t)p->numel * sizeof(float));
    }
    return true;
}

static void compare(layer_case *c, const fv_var *x, const fv_var *y) {
    golden *g = c->g;
    double largest = 0.0;

    const float *computed = y->data, *dx = x->grad.data;
    if (c->kind->nchw & Y_NCHW) computed = swap_axes(g, computed, &c->stored_y, true);
    if (c->kind->nchw & X_NCHW) dx = swap_axes(g, dx, &c->stored_x, true);
    golden_compare(g, golden_text(g, "%s/y", c->name), computed, fv_shape_numel(&y->shape), 0,
                   TOLERANCE);
    golden_compare(g, golden_text(g, "%s/dx", c->name), dx, fv_shape_numel(&x->shape), 0,
                   TOLERANCE);
    /* A gradient that is mathematically zero (key bias) is measured by the case's largest. */
    for (int64_t i = 0; i < c->params.slab_numel; i++)
        largest = fmax(largest, (double)fabsf(c->params.grad.base[i]));
    for (int64_t i = 0; i < c->params.count; i++) {
        const fv_param *p = c->params.item[i];
        if (!p->grad) continue;
        const char *name = golden_text(g, "%s/grad.%s", c->name, p->name);
        const bool has_zeros = strstr(p->name, "qkv.bias") != NULL;
        golden_compare(g, name, p->grad, p->numel, has_zeros ? largest : 0, TOLERANCE);
    }
}

/* Buffers after the step, where the file has them. */
static void compare_buffers(layer_case *c) {
    fv_tape_commit(c->tape);
    for (int64_t i = 0; i < c->params.count; i++) {
        const fv_param *p = c->params.item[i];
        const char *name = golden_text(c->g, "%s/after.%s", c->name, p->name);
        if (golden_has(c->g, name)) golden_compare(c->g, name, p->value, p->numel, 0, TOLERANCE);
    }
}

/* The choice of routing attention; the weights beside it are nothing that the layer computes. */
static void compare_routing(layer_case *c) {
    const char *name = golden_text(c->g, "%s/routing", c->name);

    if (!golden_has(c->g, name)) return;
    golden_compare_choices(c->g, name, fv_tape_find(c->tape, "routing"));
    golden_use(c->g, golden_text(c->g, "%s/routing_weight", c->name));
}

static fv_status compute(layer_case *c, const float *x, const float *dy) {
    const fv_tensor input = {(void *)(uintptr_t)x, FV_F32, c->x_shape};

    FV_TRY(fv_tape_create(&c->tape));
    FV_TRY(fv_tape_watch(c->tape, "routing", FV_WATCH_VALUE));
    fv_tape_begin(c->tape, &(fv_step){.mode = FV_TRAIN, .running_stats = c->kind->running_stats});
    fv_var *in = fv_input(c->tape, &input, true);
    fv_var *y = fv_keep(c->kind->forward(c, in));
    FV_TRY(fv_tape_status(c->tape));
    if (!fv_shape_equal(&y->shape, &c->y_shape))
        return FV_FAIL(FV_ERR_SHAPE, "the layer's output has another shape");
    FV_TRY(fv_tape_backward(c->tape, y, dy));
    compare(c, in, y);
    compare_buffers(c);
    compare_routing(c);
    return FV_OK;
}

/* A tensor of the file with the channels last; shape becomes that of what is returned. */
static const float *channels_last(golden *g, const float *from, fv_shape *shape) {
    const fv_shape stored = *shape;
    *shape = fv_shape_of(4, stored.dim[0], stored.dim[2], stored.dim[3], stored.dim[1]);
    return swap_axes(g, from, &stored, false);
}

static void run_case(golden *g, const layer_kind *kind) {
    layer_case c = {.g = g,
                    .name = kind->name,
                    .meta = golden_meta(g, kind->name),
                    .params = {.arena = &g->arena},
                    .kind = kind};
    const float *x = golden_f32(g, golden_text(g, "%s/x", c.name), &c.stored_x);
    const float *dy = golden_f32(g, golden_text(g, "%s/dy", c.name), &c.stored_y);

    if (!x || !dy) return;
    c.x_shape = c.stored_x;
    c.y_shape = c.stored_y;
    if (kind->nchw & X_NCHW) x = channels_last(g, x, &c.x_shape);
    if (kind->nchw & Y_NCHW) dy = channels_last(g, dy, &c.y_shape);
    fv_status status = x && dy ? kind->init(&c, (fv_scope){&c.params, ""}) : FV_ERR_NOMEM;
    if (status == FV_OK)
        status = fv_params_alloc(&c.params, (fv_params_alloc_options){.grad = true});
    if (status == FV_OK && load_params(&c)) status = compute(&c, x, dy);
    if (status != FV_OK) golden_fail(g, c.name, "%s", fv_error_message());
    fv_tape_destroy(c.tape);
    fv_params_destroy(&c.params);
}

static void run(golden *g) {
    const fv_value *map = fv_safetensors_metadata_map(g->file);

    for (const fv_value *v = map ? map->first : NULL; v; v = v->next) {
        if (strcmp(v->key, "format") == 0) continue;
        const layer_kind *kind = find_kind(v->key);
        if (kind)
            run_case(g, kind);
        else
            golden_skip(g, v->key);
    }
}

const golden_kind golden_kind_layers = {.prefix = "layers", .exact = true, .run = run};
