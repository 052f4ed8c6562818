/* attn_variants.safetensors: token mixers, position encoding and gate by themselves: output, gradient, and
 * relevance x g for the gradient g_out at the output. */
#include "layers/bra.h"
#include "layers/conv_pos.h"
#include "layers/halo_attention.h"
#include "layers/squeeze_excite.h"
#include "tests/golden_runner/saliency_case.h"

#include <math.h>
#include <string.h>

#define TOLERANCE 1e-5

typedef struct variant variant;
typedef struct variant_run {
    golden *g;
    const variant *v;
    fv_params params;
    fv_arena arena;
    fv_tape *tape;
    union {
        fv_bra bra;
        fv_halo_attention halo;
        fv_conv_pos cpe;
        fv_squeeze_excite se;
        struct {
            fv_linear_layer qkv, proj;
        } packed;
    } layer;
} variant_run;

struct variant {
    const char *name;
    bool nchw;                /* x, g_out and out in the file */
    const char *weights;      /* tap of A, NULL: none */
    const char *params[8][2]; /* own name, name in the file */
    fv_status (*init)(variant_run *r, fv_scope scope);
    fv_var *(*forward)(variant_run *r, fv_var *x);
};

/* ---- layers ---- */

static fv_status packed_init(variant_run *r, fv_scope scope) {
    FV_TRY(fv_linear_layer_init(&r->layer.packed.qkv, fv_scope_child(scope, "qkv"), 8, 24, true));
    return fv_linear_layer_init(&r->layer.packed.proj, fv_scope_child(scope, "proj"), 8, 8, true);
}

/* 4x4 windows with a table added to the logits, which our mixers do not have: in single ops.  A table is
 * a constant to relevance. */
static fv_var *window_forward(variant_run *r, fv_var *x) {
    enum { WINDOWS = 4, HEADS = 2, TOKENS = 16, SIZE = HEADS * TOKENS * TOKENS };
    const float *bias = golden_f32(r->g, "window.rel_bias", NULL);
    float *table = fv_arena_alloc(&r->arena, WINDOWS * SIZE, sizeof *table);

    if (!bias || !table) return x;
    for (int i = 0; i < WINDOWS; i++) memcpy(table + i * SIZE, bias, SIZE * sizeof *table);
    const fv_tensor constant = {table, FV_F32, {5, {1, WINDOWS, HEADS, TOKENS, TOKENS}}};
    fv_var *qkv = fv_linear_layer_forward(&r->layer.packed.qkv, fv_window_partition(x, 4, 4));
    fv_attention_parts p = {.q = fv_heads_split(qkv, HEADS, 0, 3),
                            .k = fv_heads_split(qkv, HEADS, 1, 3),
                            .v = fv_heads_split(qkv, HEADS, 2, 3)};
    p.logits = fv_add(fv_scale(fv_matmul_nt(p.q, p.k), 0.5f), fv_input(r->tape, &constant, false));
    fv_tape_scope(r->tape, "window");
    fv_var *y = fv_heads_merge(fv_attention_mix(&p));
    return fv_window_merge(fv_linear_layer_forward(&r->layer.packed.proj, y), 4, 4, 8, 8);
}

static fv_var *channel_forward(variant_run *r, fv_var *x) {
    fv_var *qkv = fv_linear_layer_forward(&r->layer.packed.qkv, x);
    fv_tape_scope(r->tape, "channel");
    return fv_linear_layer_forward(&r->layer.packed.proj,
                                   fv_channel_attention(qkv, 2, 0.5f, FV_CHANNEL_KV));
}

static fv_status halo_init(variant_run *r, fv_scope scope) {
    const fv_halo_config cfg = {
        .dim = 8, .dim_out = 8, .heads = 2, .dim_head = 4, .block = 4, .halo = 1};
    return fv_halo_attention_init(&r->layer.halo, scope, &cfg);
}
static fv_var *halo_forward(variant_run *r, fv_var *x) {
    return fv_halo_attention_forward(&r->layer.halo, x);
}

static fv_status bra_init(variant_run *r, fv_scope scope) {
    const fv_bra_config cfg = {.dim = 8, .heads = 2, .regions = 2, .topk = 2, .lepe = 5};
    return fv_bra_init(&r->layer.bra, scope, &cfg);
}
static fv_var *bra_forward(variant_run *r, fv_var *x) { return fv_bra_forward(&r->layer.bra, x); }

static fv_status cpe_init(variant_run *r, fv_scope scope) {
    return fv_conv_pos_init(&r->layer.cpe, scope, 8);
}
static fv_var *cpe_forward(variant_run *r, fv_var *x) {
    return fv_conv_pos_forward(&r->layer.cpe, x);
}

static fv_status se_init(variant_run *r, fv_scope scope) {
    return fv_squeeze_excite_init(&r->layer.se, scope, 8, 4);
}
static fv_var *se_forward(variant_run *r, fv_var *x) {
    return fv_squeeze_excite_forward(&r->layer.se, x);
}

#define PACKED                                                                     \
    {                                                                              \
        {"qkv.weight", "qkv.w"}, {"qkv.bias", "qkv.b"}, {"proj.weight", "proj.w"}, \
            {"proj.bias", "proj.b"},                                               \
    }

static const variant variants[] = {
    {"window", false, "window.weights", PACKED, packed_init, window_forward},
    {"channel", false, "channel.channel_weights", PACKED, packed_init, channel_forward},
    {"halo",
     true,
     "halo.weights",
     {{"halo.q.weight", "q.w"},
      {"halo.kv.weight", "kv.w"},
      {"halo.pos_embed.height_rel", "height_rel"},
      {"halo.pos_embed.width_rel", "width_rel"}},
     halo_init,
     halo_forward},
    {"bra",
     false,
     "bra.weights",
     {{"bra.lepe.weight", "lepe.w"},
      {"bra.lepe.bias", "lepe.b"},
      {"bra.qkv.qkv.weight", "qkv.w"},
      {"bra.qkv.qkv.bias", "qkv.b"},
      {"bra.wo.weight", "wo.w"},
      {"bra.wo.bias", "wo.b"}},
     bra_init,
     bra_forward},
    {"cpe", true, NULL, {{"cpe.proj.weight", "w"}, {"cpe.proj.bias", "b"}}, cpe_init, cpe_forward},
    {"se",
     true,
     NULL,
     {{"se.fc1.weight", "fc1.w"},
      {"se.fc1.bias", "fc1.b"},
      {"se.fc2.weight", "fc2.w"},
      {"se.fc2.bias", "fc2.b"}},
     se_init,
     se_forward},
};

/* ---- running one ---- */

static const char *name_of(variant_run *r, const char *tensor) {
    return golden_text(r->g, "%s.%s", r->v->name, tensor);
}

static bool load(variant_run *r) {
    for (int i = 0; i < 8 && r->v->params[i][0]; i++) {
        fv_param *p = fv_params_find(&r->params, r->v->params[i][0]);
        fv_shape s;
        const float *stored = golden_f32(r->g, name_of(r, r->v->params[i][1]), &s);
        if (!stored || !p || fv_shape_numel(&s) != p->numel) {
            golden_fail(r->g, name_of(r, r->v->params[i][1]), "no such parameter of that shape");
            return false;
        }
        memcpy(p->value, stored, (size_t)p->numel * sizeof *stored);
    }
    return true;
}

/* A stored tensor of x's or y's kind in our layout. */
static const float *packed(variant_run *r, const char *tensor, fv_shape *s) {
    const float *stored = golden_f32(r->g, name_of(r, tensor), s);
    if (!stored || !r->v->nchw) return stored;
    const float *out = golden_packed(r->g, s, stored);
    *s = fv_shape_of(4, s->dim[0], s->dim[2], s->dim[3], s->dim[1]);
    return out;
}

static void compare(variant_run *r, const char *tensor, const fv_var *v, saliency_what what) {
    const float *values = saliency_of(r->g, v, what);
    if (r->v->nchw) values = golden_planar(r->g, &v->shape, values);
    golden_compare(r->g, name_of(r, tensor), values, fv_shape_numel(&v->shape), 0, TOLERANCE);
}

/* Products of the regions' mean queries and keys, and the choice made of them, best first. */
static void check_routing(variant_run *r) {
    enum { REGIONS = 4, PIXELS = 16, C = 8, CHOSEN = 2 };
    const fv_var *qkv = saliency_tap(r->g, r->tape, "bra.qkv.qkv");
    const fv_var *chosen = saliency_tap(r->g, r->tape, "bra.routing");
    const int64_t *stored = golden_i64(r->g, "bra.routing_index", NULL);
    float affinity[REGIONS * REGIONS], mean[REGIONS][2 * C] = {{0}};
    int wrong = 0;

    if (!qkv || !chosen || !stored) return;
    for (int i = 0; i < REGIONS * PIXELS * 2 * C; i++) {
        const int pixel = i / (2 * C), c = i % (2 * C);
        mean[pixel / PIXELS][c] += ((float *)qkv->data)[pixel * 3 * C + c] / (float)PIXELS;
    }
    for (int i = 0; i < REGIONS * REGIONS; i++) {
        affinity[i] = 0.0f;
        for (int c = 0; c < C; c++) affinity[i] += mean[i / REGIONS][c] * mean[i % REGIONS][C + c];
    }
    for (int i = 0; i < REGIONS * CHOSEN; i++)
        wrong += ((int32_t *)chosen->data)[i] != (int32_t)stored[i];
    golden_result(r->g, "bra.routing_index", (double)wrong, 0.0);
    /* scale of the file's affinity: that of the logits */
    for (int i = 0; i < REGIONS * REGIONS; i++) affinity[i] *= (float)(1.0 / sqrt(8.0));
    golden_compare(r->g, "bra.affinity", affinity, REGIONS * REGIONS, 0, TOLERANCE);
}

/* The gate is what the map was multiplied by. */
static void check_gate(variant_run *r, const fv_var *y) {
    fv_var *gate = y->in[1];
    golden_compare(r->g, "se.gate", gate->data, fv_shape_numel(&gate->shape), 0, TOLERANCE);
}

static void check(variant_run *r, fv_var *x, fv_var *y) {
    golden *g = r->g;
    fv_ledger ledger;
    fv_shape s;
    const float *start = packed(r, "g_out", &s);

    compare(r, "out", y, SALIENCY_VALUE);
    const fv_var *A = r->v->weights ? saliency_tap(g, r->tape, r->v->weights) : NULL;
    if (A) golden_compare(g, name_of(r, "A"), A->data, fv_shape_numel(&A->shape), 0, TOLERANCE);
    if (strcmp(r->v->name, "bra") == 0) check_routing(r);
    if (strcmp(r->v->name, "se") == 0) check_gate(r, y);
    if (!start) return;
    if (fv_tape_backward(r->tape, y, start) == FV_OK)
        compare(r, "grad_x", x, SALIENCY_GRADIENT);
    else
        golden_fail(g, name_of(r, "grad_x"), "%s", fv_error_message());
    /* the table of `window` is no parameter: no ledger takes its share */
    for (int i = 0; i < 2; i++) {
        const char *tensor = i ? "R_x.cp" : "R_x.attnlrp";
        fv_composite *c = (fv_composite *)(uintptr_t)fv_composite_find(i ? "cplrp" : "attnlrp");
        if (saliency_walk_by(g, name_of(r, tensor), y, start, FV_SIGNAL_GI, fv_composite_pick, c,
                             &ledger))
            compare(r, tensor, x, SALIENCY_RELEVANCE);
    }
}

static fv_status record(variant_run *r, fv_var **x, fv_var **y) {
    const fv_step step = saliency_step(1);
    fv_shape s;
    const float *stored = packed(r, "x", &s);

    if (!stored) return FV_FAIL(FV_ERR_FORMAT, "no input");
    FV_TRY(fv_tape_watch(r->tape, "*", FV_WATCH_VALUE));
    fv_tape_begin(r->tape, &step);
    *x = fv_input(r->tape, &(fv_tensor){(void *)(uintptr_t)stored, FV_F32, s}, true);
    *y = fv_keep(r->v->forward(r, *x));
    return fv_tape_status(r->tape);
}

static void run_one(golden *g, const variant *v) {
    const bool bare = strcmp(v->name, "window") == 0 || strcmp(v->name, "channel") == 0;
    variant_run r = {.g = g, .v = v};
    fv_var *x, *y;

    r.params.arena = &r.arena;
    const fv_scope top = {&r.params, ""};
    fv_status status = v->init(&r, bare ? top : fv_scope_child(top, "%s", v->name));
    if (status == FV_OK) status = fv_params_alloc(&r.params, (fv_params_alloc_options){0});
    if (status == FV_OK) status = fv_tape_create(&r.tape);
    if (status == FV_OK && load(&r)) {
        status = record(&r, &x, &y);
        if (status == FV_OK) check(&r, x, y);
    }
    if (status != FV_OK) golden_fail(g, v->name, "%s", fv_error_message());
    fv_tape_destroy(r.tape);
    fv_params_destroy(&r.params);
    fv_arena_destroy(&r.arena);
}

static void run(golden *g) {
    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++) run_one(g, &variants[i]);
}

const golden_kind golden_kind_attn_variants = {
    .prefix = "attn_variants", .exact = true, .run = run};
