#include "layers/stem.h"

#include <inttypes.h>

/* A stem of one convolution in front of a pool counts its units, without one it is a single unit. */
static const fv_conv_bn_names byob[] = {
    {"conv1.conv", "conv1.bn", "conv1"},
    {"conv2.conv", "conv2.bn", "conv2"},
    {"conv3.conv", "conv3.bn", "conv3"},
};
static const fv_conv_bn_names byob_single = {"conv", "bn", ""};

/* ResNet's last unit is the one that its plain stem has. */
static const fv_conv_bn_names resnet[] = {
    {"conv1.0", "conv1.1", "conv1.2"},
    {"conv1.3", "conv1.4", "conv1.5"},
    {"conv1.6", "bn1", "act1"},
};
static const fv_conv_bn_names resnet_single = {"conv1", "bn1", "act1"};

static const fv_conv_bn_names *names_of(const fv_stem_config *cfg, int i) {
    const bool tiered = cfg->kind == FV_STEM_TIERED;

    if (cfg->names == FV_NAMES_RESNET) return tiered ? &resnet[i] : &resnet_single;
    return tiered || cfg->pool ? &byob[i] : &byob_single;
}

fv_status fv_stem_init(fv_stem *m, fv_scope scope, const char *path, const fv_stem_config *cfg) {
    const bool tiered = cfg->kind == FV_STEM_TIERED;
    const int64_t C = cfg->dim, widths[FV_STEM_UNITS] = {tiered ? 3 * C / 8 : C, C / 2, C};
    int64_t in = 3;

    if (C < 1 || (tiered && C % 8))
        return FV_FAIL(FV_ERR_CONFIG, "a stem of %" PRId64 " channels%s", C,
                       tiered ? ": three tiers need a multiple of 8" : "");
    *m = (fv_stem){.path = path, .n_units = tiered ? 3 : 1, .pool = cfg->pool, .stride = 2};
    for (int i = 0; i < m->n_units; i++) {
        const bool strided = i == 0 || (i == 2 && !cfg->pool);
        const fv_conv_bn_config unit = {.in = in,
                                        .out = widths[i],
                                        .kernel = cfg->kind == FV_STEM_7X7 ? 7 : 3,
                                        .stride = strided ? 2 : 1,
                                        .act = cfg->act};
        FV_TRY(fv_conv_bn_init(&m->unit[i], scope, names_of(cfg, i), &unit));
        in = widths[i];
    }
    if (cfg->pool || tiered) m->stride = 4;
    return FV_OK;
}

const char *fv_stem_first_conv(const fv_stem *m) { return m->unit[0].conv.path; }

fv_var *fv_stem_forward(const fv_stem *m, fv_var *x) {
    fv_tape *tape = x->tape;
    const char *outer = fv_tape_scope(tape, m->path);

    for (int i = 0; i < m->n_units; i++) x = fv_conv_bn_forward(&m->unit[i], x);
    if (m->pool) x = fv_max_pool(x, 3, 2, 1);
    fv_tape_scope(tape, outer);
    return fv_tap(x, m->path); /* [B,ceil(H/s),ceil(W/s),C] */
}
