/* vit.safetensors, vit_gap.safetensors: values, gradients and relevance at every node.
 *
 * The file's gradient form halves a product where q, k and v leave their projection, ours at the product:
 * the relevance of the matrices in between, A and S, is twice ours.  That of a constant A is what it
 * would have been sent. */
#include "core/ops.h"
#include "core/ops/op_list.h"
#include "tests/golden_runner/saliency_case.h"
#include "tests/golden_runner/vit_net.h"

#include <string.h>

#define TOLERANCE 1e-5

static const char *const block_nodes[] = {"norm1", "q",    "k",   "v",   "S",   "A",
                                          "O",     "attn", "mid", "fc1", "mlp", NULL};
static const char *const nodes[] = {"patch_embed", "tokens.0", "tokens.1", "tokens.2",
                                    "pooled",      "logits",   "input",    NULL};
static const char *const cuts[] = {"pooled",      "tokens.2", "tokens.1", "tokens.0",
                                   "patch_embed", "input",    NULL};

static bool is_matrix(const char *node) {
    const size_t n = strlen(node);
    return n > 2 && (strcmp(node + n - 2, ".A") == 0 || strcmp(node + n - 2, ".S") == 0);
}

static void check_node(vit_net *net, const char *prefix, const char *node, saliency_what what,
                       float matrices) {
    const char *name = golden_text(net->g, "%s.%s", prefix, node);
    if (!golden_has(net->g, name)) return;
    const fv_var *v = saliency_tap(net->g, net->tape, vit_net_tap(net->g, node));
    if (v && strcmp(node, "input") == 0)
        saliency_compare_map(net->g, name, v, what, TOLERANCE);
    else if (v)
        saliency_compare(net->g, name, v, what, is_matrix(node) ? matrices : 1.0f, TOLERANCE);
}

/* The network norms the class token only; in the file the others are normed too and not read. */
static void check_norm(vit_net *net, const char *prefix, saliency_what what) {
    golden *g = net->g;
    const fv_var *pooled = saliency_tap(g, net->tape, "pre_logits");
    const int64_t N = fv_dim(pooled, 0), C = fv_dim(pooled, 1), T = net->model->tokens;
    const float *first = saliency_of(g, pooled, what);
    float *all = fv_arena_calloc(&g->arena, (size_t)(N * T * C), sizeof *all);

    for (int64_t i = 0; all && first && i < N * C; i++) all[i / C * T * C + i % C] = first[i];
    golden_compare(g, golden_text(g, "%s.norm", prefix), all, N * T * C, 0, TOLERANCE);
}

/* matrices: the factor of A and S; 0: A is looked at elsewhere. */
static void check_nodes(vit_net *net, const char *prefix, saliency_what what, float matrices) {
    const float factor = matrices > 0.0f ? matrices : 1.0f;

    for (int i = 0; nodes[i]; i++) check_node(net, prefix, nodes[i], what, factor);
    for (int b = 0; b < VIT_NET_BLOCKS; b++)
        for (int i = 0; block_nodes[i]; i++) {
            const char *node = golden_text(net->g, "blocks.%d.%s", b, block_nodes[i]);
            if (matrices > 0.0f || strcmp(block_nodes[i], "A") != 0)
                check_node(net, prefix, node, what, factor);
        }
}

/* All tokens normed, which nothing reads. */
static void check_norm_value(vit_net *net) {
    fv_params *params = &net->model->params;
    fv_var *x = fv_tape_find(net->tape, "blocks.1");
    fv_var *w = fv_param_var(net->tape, fv_params_find(params, "norm.weight"));
    fv_var *b = fv_param_var(net->tape, fv_params_find(params, "norm.bias"));

    saliency_compare(net->g, "act.norm", fv_keep(fv_layernorm(x, w, b, 1e-6f, FV_F32)),
                     SALIENCY_VALUE, 1.0f, TOLERANCE);
}

static void check_gradients(vit_net *net, fv_var *logits) {
    const float *seed = saliency_seed(net->g, logits, net->target, FV_SIGNAL_GI);

    if (!seed || fv_tape_backward(net->tape, logits, seed) != FV_OK) {
        golden_fail(net->g, "grad", "%s", fv_error_message());
        return;
    }
    check_nodes(net, "grad", SALIENCY_GRADIENT, 1.0f);
    check_norm(net, "grad", SALIENCY_GRADIENT);
}

static void check_sums(vit_net *net, const char *name) {
    const int64_t N = net->images.shape.dim[0];
    float sums[64];
    int n = 0;

    for (; cuts[n]; n++) {
        const fv_var *v = saliency_tap(net->g, net->tape, vit_net_tap(net->g, cuts[n]));
        const float *r = v ? saliency_of(net->g, v, SALIENCY_RELEVANCE) : NULL;
        if (!r || (n + 1) * N > 64) return;
        saliency_sample_sums(&v->shape, r, 1, sums + n * N);
    }
    golden_compare(net->g, golden_text(net->g, "lrp.%s.layer_sums", name), sums, n * N, 0,
                   TOLERANCE);
}

static void check_maps(vit_net *net, const char *name, const fv_var *x) {
    golden *g = net->g;
    const fv_var *tokens = saliency_tap(g, net->tape, "tokens");
    const float *map = saliency_channel_sums(g, &x->shape, saliency_of(g, x, SALIENCY_RELEVANCE));
    const float *rows =
        saliency_channel_sums(g, &tokens->shape, saliency_of(g, tokens, SALIENCY_RELEVANCE));
    const char *by_token = golden_text(g, "lrp.%s.token_relevance", name);

    golden_compare(g, golden_text(g, "lrp.%s.heatmap", name), map, fv_shape_numel(&x->shape) / 3, 0,
                   TOLERANCE);
    if (golden_has(g, by_token))
        golden_compare(g, by_token, rows, fv_shape_numel(&tokens->shape) / fv_dim(tokens, -1), 0,
                       TOLERANCE);
}

static bool walk(vit_net *net, const char *name, fv_var *logits) {
    const fv_composite *c = fv_composite_find(name);
    fv_ledger ledger;

    if (!c) {
        golden_fail(net->g, name, "no such composite");
        return false;
    }
    const float *seed = saliency_seed(net->g, logits, net->target, fv_composite_kind(c));
    return seed &&
           saliency_walk(net->g, golden_text(net->g, "lrp.%s", name), logits, seed, c, &ledger);
}

/* A composite, but for the product A v of one block, which halves between live factors. */
typedef struct live_block {
    const fv_composite *composite;
    const char *scope;
} live_block;

static void pick_live(const fv_var *y, void *user, fv_rule *rule) {
    const live_block *live = user;

    fv_composite_pick(y, (void *)(uintptr_t)live->composite, rule);
    if (y->op == &fv_op_matmul && strcmp(y->scope, live->scope) == 0)
        rule->constant_attention = false;
}

static void check_constant_matrices(vit_net *net, const char *name, fv_var *logits) {
    golden *g = net->g;
    const fv_composite *c = fv_composite_find(name);

    for (int b = 0; c && b < VIT_NET_BLOCKS; b++) {
        live_block live = {c, golden_text(g, "blocks.%d.attn", b)};
        const char *node = golden_text(g, "lrp.%s.R.blocks.%d.A", name, b);
        const float *seed = saliency_seed(g, logits, net->target, fv_composite_kind(c));
        fv_ledger ledger;
        if (!seed || !saliency_walk_by(g, node, logits, seed, fv_composite_kind(c), pick_live,
                                       &live, &ledger))
            continue;
        const fv_var *A = saliency_tap(g, net->tape, golden_text(g, "%s.weights", live.scope));
        if (A) saliency_compare(g, node, A, SALIENCY_RELEVANCE, 2.0f, TOLERANCE);
    }
}

static void check_lrp(vit_net *net, const char *name, bool constant, fv_var *x, fv_var *logits) {
    const char *prefix = golden_text(net->g, "lrp.%s.R", name);

    if (!walk(net, name, logits)) return;
    check_nodes(net, prefix, SALIENCY_RELEVANCE, constant ? 0.0f : 2.0f);
    check_norm(net, prefix, SALIENCY_RELEVANCE);
    check_sums(net, name);
    check_maps(net, name, x);
    if (constant) check_constant_matrices(net, name, logits);
}

static fv_var *record(vit_net *net, fv_var **x) {
    if (fv_tape_watch(net->tape, "*", FV_WATCH_VALUE | FV_WATCH_GRAD | FV_WATCH_RELEVANCE) != FV_OK)
        return NULL;
    return vit_net_record(net, x);
}

void vit_check_lrp(vit_net *net) {
    fv_var *x, *logits = record(net, &x);

    if (!logits) return;
    check_nodes(net, "act", SALIENCY_VALUE, 1.0f);
    check_norm_value(net);
    check_gradients(net, logits);
    check_lrp(net, "attnlrp", false, x, logits);
    check_lrp(net, "attnlrp_gamma", false, x, logits);
    check_lrp(net, "cplrp", true, x, logits);
    check_lrp(net, "cplrp_gamma", true, x, logits);
    fv_tape_clear_watches(net->tape);
}

void vit_gap_check_lrp(vit_net *net) {
    static const char *const names[] = {"attnlrp", "attnlrp_gamma"};
    fv_var *x, *logits = record(net, &x);

    if (!logits) return;
    saliency_compare(net->g, "logits", logits, SALIENCY_VALUE, 1.0f, TOLERANCE);
    for (int i = 0; i < 2; i++) {
        if (!walk(net, names[i], logits)) continue;
        check_node(net, golden_text(net->g, "lrp.%s.R", names[i]), "tokens.0", SALIENCY_RELEVANCE,
                   1.0f);
        check_maps(net, names[i], x);
    }
    fv_tape_clear_watches(net->tape);
}
