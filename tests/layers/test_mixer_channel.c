#include "core/ops.h"
#include "core/yaml.h"
#include "layers/mixer.h"
#include "tests/support/layer_run.h"

#include <criterion/criterion.h>

#include <string.h>

enum { B = 2, N = 5, C = 8 };

static layer_run run;
static fv_mixer_layer layer;

static void enter(void) { layer_run_open(&run); }
static void leave(void) { layer_run_close(&run); }

TestSuite(layers_mixer_channel, .init = enter, .fini = leave);

/* qkv [B,n,3,c] with both axes exchanged inside of each part: [B,c,3,n]. */
static fv_var *transposed(const fv_var *qkv, const int part[3]) {
    const int64_t n = fv_dim(qkv, 1), c = fv_dim(qkv, 2) / 3;
    const float *from = qkv->data;
    float *to = fv_arena_alloc(&run.arena, (size_t)(B * n * c * 3), sizeof *to);

    for (int64_t b = 0; b < B; b++)
        for (int64_t i = 0; i < n; i++)
            for (int p = 0; p < 3; p++)
                for (int64_t j = 0; j < c; j++)
                    to[((b * c + j) * 3 + p) * n + i] = from[((b * n + i) * 3 + part[p]) * c + j];
    return fv_input(run.tape, &(fv_tensor){to, FV_F32, fv_shape_of(3, (int64_t)B, c, 3 * n)},
                    false);
}

/* Channels as tokens: the softmax of one group is that of ordinary attention on the transpose, with
 * queries, keys and values in the roles of the variant. */
Test(layers_mixer_channel, is_attention_on_the_transpose) {
    static const int parts[2][3] = {[FV_CHANNEL_KV] = {1, 2, 0}, [FV_CHANNEL_QK] = {0, 1, 2}};

    for (int roles = FV_CHANNEL_KV; roles <= FV_CHANNEL_QK; roles++)
        for (int mode = FV_TRAIN; mode <= FV_EXPLAIN; mode++) {
            const fv_var *x =
                layer_run_begin(&run, &(fv_step){.mode = (fv_mode)mode},
                                fv_shape_of(3, (int64_t)B, (int64_t)N, 3 * (int64_t)C));
            const fv_var *y = fv_keep(
                fv_channel_attention((fv_var *)(uintptr_t)x, 1, 0.3f, (fv_channel_roles)roles));
            const fv_var *z = fv_keep(fv_attention(transposed(x, parts[roles]), 1, 0.3f));
            cr_assert_eq(fv_tape_status(run.tape), FV_OK, "%s", fv_error_message());
            for (int i = 0; i < B * N * C; i++) {
                const int b = i / (N * C), n = i / C % N, c = i % C;
                cr_assert_float_eq(((float *)y->data)[i], ((float *)z->data)[(b * C + c) * N + n],
                                   1e-5f);
            }
        }
}

static const float *forward(const char *yaml, int64_t prefix) {
    const fv_mixer_shape shape = {.n_tokens = N,
                                  .n_prefix = prefix,
                                  .grid_h = 1,
                                  .grid_w = N - prefix,
                                  .dim = C,
                                  .heads = 2,
                                  .qkv_bias = true,
                                  .proj_bias = true,
                                  .kind = "channel"};
    fv_value *cfg = NULL;

    layer_run_close(&run);
    layer_run_open(&run);
    cr_assert_eq(fv_yaml_parse(yaml, strlen(yaml), "", &run.arena, &cfg), FV_OK);
    cr_assert_eq(fv_mixer_layer_init(&layer, layer_run_scope(&run, "attn"), cfg, &shape), FV_OK,
                 "%s", fv_error_message());
    layer_run_ready(&run);
    fv_var *x = layer_run_begin(&run, &(fv_step){.mode = FV_INFER},
                                fv_shape_of(3, (int64_t)B, (int64_t)N, (int64_t)C));
    const float *y = fv_keep(fv_mixer_layer_forward(&layer, x))->data;
    cr_assert_eq(fv_tape_status(run.tape), FV_OK, "%s", fv_error_message());
    return y;
}

static bool same(const char *a, const char *b) {
    float want[B * N * C];
    memcpy(want, forward(a, 0), sizeof want);
    return memcmp(want, forward(b, 0), sizeof want) == 0;
}

Test(layers_mixer_channel, keys_choose_groups_variant_and_scale) {
    cr_assert(same("{}", "channel: {groups: 2, variant: v1}"), "heads are the groups");
    cr_assert(same("{}", "scale: 0.5"), "four channels a group");
    cr_assert(same("heads: 4", "channel: {groups: 4}"));
    cr_assert(!same("{}", "channel: {groups: 4}"));
    cr_assert(!same("{}", "channel: {variant: v2}"));
    cr_assert(same("channel: {variant: v2}", "{scale: 0.4472136, channel: {variant: v2}}"),
              "five tokens");
}

Test(layers_mixer_channel, prefix_tokens_are_tokens_like_the_others) {
    float want[B * N * C];
    memcpy(want, forward("{}", 0), sizeof want);
    cr_assert_eq(memcmp(want, forward("{}", 1), sizeof want), 0);
}
