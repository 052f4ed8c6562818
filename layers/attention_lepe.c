#include "layers/attention_lepe.h"

#include "layers/attention_layout.h"

#include <inttypes.h>
#include <math.h>

fv_status fv_attention_lepe_init(fv_attention_lepe *m, fv_scope scope,
                                 const fv_attention_lepe_config *cfg) {
    const int64_t C = cfg->dim;
    const fv_conv_config lepe = {
        .in = C, .out = C, .kernel = cfg->kernel, .padding = -1, .groups = C, .bias = true};

    if (cfg->heads < 1 || C % cfg->heads)
        return FV_FAIL(FV_ERR_CONFIG, "%s: %" PRId64 " heads do not divide the width %" PRId64,
                       scope.path ? scope.path : "", cfg->heads, C);
    *m = (fv_attention_lepe){.path = scope.path,
                             .heads = cfg->heads,
                             .scale = (float)(1.0 / sqrt((double)(C / cfg->heads)))};
    FV_TRY(fv_linear_layer_init(&m->qkv, fv_scope_child(scope, "qkv"), C, 3 * C, false));
    FV_TRY(fv_linear_layer_init(&m->proj, fv_scope_child(scope, "proj"), C, C, true));
    return fv_conv_layer_init(&m->lepe, fv_scope_child(scope, "lepe"), &lepe);
}

fv_var *fv_attention_lepe_forward(const fv_attention_lepe *m, fv_var *x) {
    fv_tape *tape = x->tape;
    const char *outer = fv_tape_scope(tape, m->path);
    const int64_t H = fv_dim(x, 1), W = fv_dim(x, 2);

    fv_attention_layout_note(
        tape,
        &(fv_attention_layout){.kind = FV_ATTENTION_GLOBAL, .heads = m->heads, .H = H, .W = W});
    fv_var *local = fv_map_to_tokens(fv_conv_layer_forward(&m->lepe, x)); /* [B,HW,C] */
    fv_var *qkv = fv_linear_layer_forward(&m->qkv, fv_map_to_tokens(x));  /* [B,HW,3C] */
    fv_var *y = fv_attention(qkv, m->heads, m->scale);                    /* [B,HW,C] */
    y = fv_add_to(y, local, fv_product_dtype(tape));                      /* [B,HW,C] */
    y = fv_tokens_to_map(fv_linear_layer_forward(&m->proj, y), H, W);     /* [B,H,W,C] */
    fv_tape_scope(tape, outer);
    return fv_tap(y, m->path);
}
