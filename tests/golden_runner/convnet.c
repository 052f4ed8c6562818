#include "tests/golden_runner/convnet.h"

#include "core/ops.h"
#include "tests/golden_runner/saliency_case.h"

#include <string.h>

static fv_status declare(convnet *net) {
    const fv_scope top = {&net->params, ""};
    const fv_conv_config conv1 = {.in = 3, .out = 6, .kernel = 3, .padding = 1};
    const fv_conv_config conv2 = {.in = 6, .out = 6, .kernel = 3, .padding = 1};
    const fv_conv_config conv3 = {
        .in = 6, .out = 6, .kernel = 3, .padding = 1, .groups = 6, .bias = true};
    const fv_conv_config conv4 = {
        .in = 6, .out = 8, .kernel = 3, .stride = 2, .padding = 1, .bias = true};

    FV_TRY(fv_conv_layer_init(&net->conv1, fv_scope_child(top, "conv1"), &conv1));
    FV_TRY(fv_batchnorm_layer_init(&net->bn1, fv_scope_child(top, "bn1"), 6));
    FV_TRY(fv_conv_layer_init(&net->conv2, fv_scope_child(top, "conv2"), &conv2));
    FV_TRY(fv_batchnorm_layer_init(&net->bn2, fv_scope_child(top, "bn2"), 6));
    FV_TRY(fv_conv_layer_init(&net->conv3, fv_scope_child(top, "conv3"), &conv3));
    FV_TRY(fv_conv_layer_init(&net->conv4, fv_scope_child(top, "conv4"), &conv4));
    FV_TRY(fv_linear_layer_init(&net->fc, fv_scope_child(top, "fc"), 8, CONVNET_CLASSES, true));
    FV_TRY(fv_params_alloc(&net->params, (fv_params_alloc_options){.grad = true}));
    return fv_tape_create(&net->tape);
}

static bool load(convnet *net) {
    for (int64_t i = 0; i < net->params.count; i++) {
        const fv_param *p = net->params.item[i];
        const char *name = golden_text(net->g, "param.%s", p->name);
        fv_shape shape;
        if (p->flags & FV_PARAM_I64) continue;
        const float *stored = golden_f32(net->g, name, &shape);
        if (!stored) return false;
        if (fv_shape_numel(&shape) != p->numel) {
            golden_fail(net->g, name, "another shape than the network's");
            return false;
        }
        memcpy(p->value, stored, (size_t)p->numel * sizeof *stored);
    }
    return true;
}

bool convnet_open(golden *g, convnet *net) {
    fv_shape s;

    *net = (convnet){.g = g};
    net->params.arena = &net->arena;
    if (declare(net) != FV_OK) {
        golden_fail(g, "network", "%s", fv_error_message());
        return false;
    }
    const float *x = golden_f32(g, "x", &s);
    if (!load(net) || !x) return false;
    net->images = (fv_tensor){(void *)(uintptr_t)golden_packed(g, &s, x), FV_F32,
                              fv_shape_of(4, s.dim[0], s.dim[2], s.dim[3], s.dim[1])};
    net->target = saliency_targets(g, "target", s.dim[0]);
    return net->images.data && net->target;
}

void convnet_close(convnet *net) {
    fv_tape_destroy(net->tape);
    fv_params_destroy(&net->params);
    fv_arena_destroy(&net->arena);
}

/* x under a name of its own, so that one reader's share of it can be watched. */
static fv_var *as(fv_var *x, const char *name) { return fv_tap(fv_reshape(x, x->shape), name); }

fv_var *convnet_forward(const convnet *net, fv_var *x) {
    x = fv_tap(x, "input"); /* [N,16,16,3] */
    x = fv_batchnorm_layer_forward(&net->bn1, fv_conv_layer_forward(&net->conv1, x));
    x = fv_tap(fv_relu(x), "relu1");                         /* [N,16,16,6] */
    fv_var *pool = fv_tap(fv_max_pool(x, 2, 2, 0), "pool1"); /* [N,8,8,6] */

    fv_var *y = fv_conv_layer_forward(&net->conv2, as(pool, "pool1.from_conv2"));
    y = fv_tap(fv_relu(fv_batchnorm_layer_forward(&net->bn2, y)), "relu2"); /* [N,8,8,6] */
    y = fv_conv_layer_forward(&net->conv3, y);
    y = fv_tap(fv_add(y, as(pool, "add.skip")), "add");
    y = fv_tap(fv_relu(y), "relu3"); /* [N,8,8,6] */

    y = fv_tap(fv_relu(fv_conv_layer_forward(&net->conv4, y)), "relu4"); /* [N,4,4,8] */
    y = fv_tap(fv_mean_tokens(y, 0, FV_F32), "gap");                     /* [N,8] */
    return fv_tap(fv_linear_layer_forward_f32(&net->fc, y), "logits");   /* [N,5] */
}

fv_var *convnet_record(convnet *net, fv_var **x) {
    const fv_step step = saliency_step(net->images.shape.dim[0]);

    fv_tape_begin(net->tape, &step);
    *x = fv_input(net->tape, &net->images, true);
    fv_var *logits = fv_keep(convnet_forward(net, *x));
    if (fv_tape_status(net->tape) == FV_OK) return logits;
    golden_fail(net->g, "forward", "%s", fv_error_message());
    return NULL;
}
