#include "tests/golden_runner/convnet_model.h"

#include "core/alloc.h"
#include "layers/batchnorm.h"
#include "layers/conv.h"
#include "layers/linear.h"

typedef struct layers {
    fv_conv_layer conv1, conv2, conv3, conv4;
    fv_batchnorm_layer bn1, bn2;
    fv_linear_layer fc;
} layers;

/* x under a name of its own, so that one reader's share of it can be watched. */
static fv_var *as(fv_var *x, const char *name) { return fv_tap(fv_reshape(x, x->shape), name); }

/* x [B,H,W,3] -> [B,K] */
static fv_var *forward(const fv_model *model, fv_var *x) {
    const layers *m = model->self;

    x = fv_conv_layer_forward(&m->conv1, fv_tap(x, "input"));             /* [B,H,W,6] */
    x = fv_tap(fv_relu(fv_batchnorm_layer_forward(&m->bn1, x)), "relu1"); /* [B,H,W,6] */
    x = fv_tap(fv_max_pool(x, 2, 2, 0), "pool1");                         /* [B,H/2,W/2,6] */

    fv_var *y = fv_conv_layer_forward(&m->conv2, as(x, "pool1.from_conv2")); /* [B,H/2,W/2,6] */
    y = fv_tap(fv_relu(fv_batchnorm_layer_forward(&m->bn2, y)), "relu2");    /* [B,H/2,W/2,6] */
    y = fv_conv_layer_forward(&m->conv3, y);                                 /* [B,H/2,W/2,6] */
    x = fv_tap(fv_add(y, as(x, "add.skip")), "add");                         /* [B,H/2,W/2,6] */
    x = fv_tap(fv_relu(x), "relu3");                                         /* [B,H/2,W/2,6] */

    x = fv_tap(fv_relu(fv_conv_layer_forward(&m->conv4, x)), "relu4"); /* [B,H/4,W/4,8] */
    x = fv_tap(fv_mean_tokens(x, 0, FV_F32), "gap");                   /* [B,8] */
    return fv_tap(fv_linear_layer_forward_f32(&m->fc, x), "logits");   /* [B,K] */
}

static const fv_family family = {.name = "convnet", .forward = forward};
static const char *features[] = {"relu1", "relu2", "relu3", "relu4"};

static fv_status build(fv_model *model, int64_t side, int64_t classes) {
    const fv_scope top = {&model->params, ""};
    const fv_conv_config conv1 = {.in = 3, .out = 6, .kernel = 3, .padding = 1};
    const fv_conv_config conv2 = {.in = 6, .out = 6, .kernel = 3, .padding = 1};
    const fv_conv_config conv3 = {
        .in = 6, .out = 6, .kernel = 3, .padding = 1, .groups = 6, .bias = true};
    const fv_conv_config conv4 = {
        .in = 6, .out = 8, .kernel = 3, .stride = 2, .padding = 1, .bias = true};
    layers *m = fv_arena_calloc(&model->arena, 1, sizeof *m);

    if (!m) return FV_ERR_NOMEM;
    model->params.arena = &model->arena;
    model->family = &family;
    model->name = family.name;
    model->self = m;
    model->input = (fv_model_input){.height = side, .width = side, .std = {1.0f, 1.0f, 1.0f}};
    model->num_classes = classes;
    model->tokens = side * side;
    model->feature_names = features;
    model->n_features = (int)(sizeof features / sizeof *features);
    FV_TRY(fv_conv_layer_init(&m->conv1, fv_scope_child(top, "conv1"), &conv1));
    FV_TRY(fv_batchnorm_layer_init(&m->bn1, fv_scope_child(top, "bn1"), 6));
    FV_TRY(fv_conv_layer_init(&m->conv2, fv_scope_child(top, "conv2"), &conv2));
    FV_TRY(fv_batchnorm_layer_init(&m->bn2, fv_scope_child(top, "bn2"), 6));
    FV_TRY(fv_conv_layer_init(&m->conv3, fv_scope_child(top, "conv3"), &conv3));
    FV_TRY(fv_conv_layer_init(&m->conv4, fv_scope_child(top, "conv4"), &conv4));
    FV_TRY(fv_linear_layer_init(&m->fc, fv_scope_child(top, "fc"), 8, classes, true));
    return fv_params_alloc(&model->params, (fv_params_alloc_options){.grad = true});
}

fv_status convnet_model_create(int64_t side, int64_t classes, fv_model **out) {
    *out = NULL;
    fv_model *model = fv_calloc(1, sizeof *model);
    if (!model) return FV_ERR_NOMEM;
    const fv_status status = build(model, side, classes);
    if (status == FV_OK)
        *out = model;
    else
        fv_model_destroy(model);
    return status;
}
