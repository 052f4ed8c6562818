#include "layers/bottleneck.h"

/* What timm calls the units; the order of declaration differs too (shortcut first, or last). */
typedef struct block_names {
    fv_conv_bn_names reduce, conv, expand, shortcut, pooled_shortcut;
    const char *gate, *attn, *post_attn;
} block_names;

static const block_names byob = {
    .reduce = {"conv1_1x1.conv", "conv1_1x1.bn", "conv1_1x1"},
    .conv = {"conv2_kxk.conv", "conv2_kxk.bn", "conv2_kxk"},
    .expand = {"conv3_1x1.conv", "conv3_1x1.bn", "conv3_1x1"},
    .shortcut = {"shortcut.conv", "shortcut.bn", "shortcut"},
    .pooled_shortcut = {"shortcut.conv", "shortcut.bn", "shortcut"},
    .gate = "attn",
    .attn = "self_attn",
    .post_attn = "post_attn",
};
static const block_names resnet = {
    .reduce = {"conv1", "bn1", "act1"},
    .conv = {"conv2", "bn2", "act2"},
    .expand = {"conv3", "bn3", "branch"},
    .shortcut = {"downsample.0", "downsample.1", "downsample"},
    .pooled_shortcut = {"downsample.1", "downsample.2", "downsample"},
    .gate = "se",
    .attn = "self_attn",
    .post_attn = "post_attn",
};

static int64_t stride_of(const fv_bottleneck_config *c) { return c->stride ? c->stride : 1; }

static fv_status init_shortcut(fv_bottleneck *m, fv_scope scope, const fv_bottleneck_config *c,
                               const block_names *names) {
    const fv_conv_bn_config unit = {.in = c->in,
                                    .out = c->out,
                                    .kernel = 1,
                                    .stride = c->avg_shortcut ? 1 : c->stride,
                                    .linear = true};

    m->projects = c->in != c->out || stride_of(c) != 1;
    m->shortcut_pool = c->avg_shortcut ? stride_of(c) : 1;
    if (!m->projects) return FV_OK;
    return fv_conv_bn_init(&m->shortcut, scope,
                           c->avg_shortcut ? &names->pooled_shortcut : &names->shortcut, &unit);
}

static fv_status init_gate(fv_bottleneck *m, fv_scope scope, const fv_bottleneck_config *c,
                           const block_names *names) {
    const fv_scope gate = fv_scope_child(scope, "%s", names->gate);

    m->gate = m->attends ? FV_GATE_NONE : c->gate;
    if (m->gate == FV_GATE_SE) return fv_squeeze_excite_init(&m->se, gate, c->mid, 0);
    return m->gate == FV_GATE_ECA ? fv_eca_init(&m->eca, gate, c->mid, 0) : FV_OK;
}

static fv_status init_middle(fv_bottleneck *m, fv_scope scope, const fv_bottleneck_config *c,
                             const block_names *names) {
    const fv_conv_bn_config unit = {.in = c->mid,
                                    .out = c->mid,
                                    .kernel = 3,
                                    .stride = c->stride,
                                    .groups = c->groups,
                                    .act = c->act};
    fv_halo_config halo = c->halo;

    m->attends = halo.block > 0;
    if (!m->attends) return fv_conv_bn_init(&m->conv, scope, &names->conv, &unit);
    halo.dim = halo.dim_out = c->mid;
    halo.stride = c->stride;
    FV_TRY(fv_halo_attention_init(&m->attn, fv_scope_child(scope, "%s", names->attn), &halo));
    return fv_batchnorm_layer_init(&m->post_attn, fv_scope_child(scope, "%s", names->post_attn),
                                   c->mid);
}

fv_status fv_bottleneck_init(fv_bottleneck *m, fv_scope scope, const fv_bottleneck_config *cfg) {
    const bool shortcut_first = cfg->names == FV_NAMES_BYOB;
    const block_names *names = shortcut_first ? &byob : &resnet;
    const fv_conv_bn_config reduce = {.in = cfg->in, .out = cfg->mid, .kernel = 1, .act = cfg->act};
    const fv_conv_bn_config expand = {
        .in = cfg->mid, .out = cfg->out, .kernel = 1, .linear = true, .closed = true};

    *m = (fv_bottleneck){.path = scope.path, .act = cfg->act, .drop_path = cfg->drop_path};
    if (shortcut_first) FV_TRY(init_shortcut(m, scope, cfg, names));
    FV_TRY(fv_conv_bn_init(&m->reduce, scope, &names->reduce, &reduce));
    FV_TRY(init_middle(m, scope, cfg, names));
    FV_TRY(init_gate(m, scope, cfg, names));
    FV_TRY(fv_conv_bn_init(&m->expand, scope, &names->expand, &expand));
    return shortcut_first ? FV_OK : init_shortcut(m, scope, cfg, names);
}

/* x [B,H,W,M] -> [B,H/s,W/s,M] */
static fv_var *attend(const fv_bottleneck *m, fv_var *x) {
    return fv_batchnorm_layer_activate(&m->post_attn, fv_halo_attention_forward(&m->attn, x),
                                       m->act);
}

/* x [B,H,W,M] -> [B,H/s,W/s,M] */
static fv_var *convolve(const fv_bottleneck *m, fv_var *x) {
    x = fv_conv_bn_forward(&m->conv, x);
    if (m->gate == FV_GATE_SE) return fv_squeeze_excite_forward(&m->se, x);
    return m->gate == FV_GATE_ECA ? fv_eca_forward(&m->eca, x) : x;
}

/* x [B,H,W,I] -> [B,H/s,W/s,O] */
static fv_var *shortcut(const fv_bottleneck *m, fv_var *x) {
    const int64_t s = m->shortcut_pool;

    if (s > 1 && (fv_dim(x, 1) % s || fv_dim(x, 2) % s))
        return fv_tape_fail(x->tape,
                            FV_FAIL(FV_ERR_SHAPE, "%s: a map of %dx%d has no means of %dx%d",
                                    m->path, (int)fv_dim(x, 1), (int)fv_dim(x, 2), (int)s, (int)s));
    if (s > 1) x = fv_avg_pool(x, s, s); /* [B,H/s,W/s,I] */
    return m->projects ? fv_conv_bn_forward(&m->shortcut, x) : x;
}

fv_var *fv_bottleneck_forward(const fv_bottleneck *m, fv_var *x) {
    fv_tape *tape = x->tape;
    const int64_t begin = fv_recompute_begin(tape);
    const char *outer = fv_tape_scope(tape, m->path);

    fv_var *y = fv_conv_bn_forward(&m->reduce, x);  /* [B,H,W,M] */
    y = m->attends ? attend(m, y) : convolve(m, y); /* [B,H/s,W/s,M] */
    y = fv_conv_bn_forward(&m->expand, y);          /* [B,H/s,W/s,O] */
    x = shortcut(m, x);                             /* [B,H/s,W/s,O] */
    y = m->act == FV_RELU
            ? fv_residual_relu(x, y, m->drop_path, fv_product_dtype(tape))
            : fv_activation(fv_residual(x, y, m->drop_path), m->act, fv_product_dtype(tape));
    fv_tape_scope(tape, outer);
    return fv_recompute_end(fv_tap(y, m->path), begin);
}
