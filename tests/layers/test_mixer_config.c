#include "layers/mixer_config.h"

#include "core/arena.h"
#include "core/yaml.h"
#include "layers/mixer.h"
#include "tests/support/layer_run.h"

#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>

static layer_run run;
static fv_value *attention;

static void enter(void) {
    layer_run_open(&run);
    attention = NULL;
}
static void leave(void) { layer_run_close(&run); }

TestSuite(layers_mixer_config, .init = enter, .fini = leave);

static void parse(const char *yaml) {
    cr_assert_eq(fv_yaml_parse(yaml, strlen(yaml), "a.yaml", &run.arena, &attention), FV_OK);
}

/* Two stages of two blocks, whose own mixers are window and channel in turn. */
static fv_status build(const char *yaml, const char *kinds[4]) {
    parse(yaml);
    for (int64_t i = 0; i < 4; i++) {
        const fv_mixer_shape shape = {.n_tokens = 16,
                                      .grid_h = 4,
                                      .grid_w = 4,
                                      .dim = 8,
                                      .heads = 2,
                                      .qkv_bias = true,
                                      .proj_bias = true,
                                      .kind = i % 2 ? "channel" : "window",
                                      .window = 2,
                                      .stage = i / 2,
                                      .layer = i};
        fv_mixer_layer layer;
        const fv_scope scope = fv_scope_child(layer_run_scope(&run, ""), "%d", (int)i);
        FV_TRY(fv_mixer_layer_init(&layer, scope, attention, &shape));
        kinds[i] = layer.mixer->kind;
    }
    return fv_mixer_config_check(attention);
}

static void expect(const char *yaml, const char *want) {
    const char *kinds[4];
    char got[64];

    cr_assert_eq(build(yaml, kinds), FV_OK, "%s: %s", yaml, fv_error_message());
    snprintf(got, sizeof got, "%s %s %s %s", kinds[0], kinds[1], kinds[2], kinds[3]);
    cr_assert_str_eq(got, want, "%s", yaml);
    layer_run_close(&run);
    layer_run_open(&run);
}

Test(layers_mixer_config, the_narrowest_wins) {
    expect("{}", "window channel window channel");
    expect("kind: mhsa", "mhsa mhsa mhsa mhsa");
    expect("stage: {1: {kind: mhsa}}", "window channel mhsa mhsa");
    expect("{kind: mhsa, stage: {1: {kind: channel}}}", "mhsa mhsa channel channel");
    expect(
        "{kind: mhsa, stage: {0: {kind: channel}}, layer: {1: {kind: window}, 2: {kind: window}}}",
        "channel window window mhsa");
}

Test(layers_mixer_config, other_keys_are_merged_too) {
    fv_value *own, *window;
    int64_t size = 0, heads = 0;

    parse("{heads: 2, window: {size: 3}, stage: {1: {heads: 4}}, layer: {3: {window: {size: 5}}}}");
    cr_assert_eq(fv_mixer_config_of(&run.arena, attention, 1, 3, &own), FV_OK);
    cr_assert_eq(fv_value_get_map(own, "window", &window), FV_OK);
    cr_assert_eq(fv_value_get_int(window, "size", 0, 9, &size), FV_OK);
    cr_assert_eq(fv_value_get_int(own, "heads", 0, 9, &heads), FV_OK);
    cr_assert_eq(size, 5);
    cr_assert_eq(heads, 4);
    cr_assert_null(fv_value_find(own, "stage"));
    cr_assert_eq(fv_mixer_config_of(&run.arena, attention, 0, 2, &own), FV_OK);
    cr_assert_eq(fv_value_find(own, "heads")->integer, 2);
    cr_assert_eq(fv_value_find(fv_value_find(own, "window"), "size")->integer, 3);
}

Test(layers_mixer_config, a_key_of_some_blocks_may_stand_for_all) {
    expect("{window: {size: 4}, channel: {groups: 4, variant: v2}}",
           "window channel window channel");
    expect("{channel: {groups: 4}, layer: {0: {kind: mhsa, scale: 0.5}}}",
           "mhsa channel window channel");
}

static void refuse(const char *yaml, const char *says) {
    const char *kinds[4];
    cr_assert_eq(build(yaml, kinds), FV_ERR_CONFIG, "%s", yaml);
    cr_assert(strstr(fv_error_message(), says), "%s: %s", yaml, fv_error_message());
    layer_run_close(&run);
    layer_run_open(&run);
}

Test(layers_mixer_config, what_no_block_asks_for_is_an_error) {
    refuse("{kind: mhsa, window: {size: 4}}",
           "a.yaml:1:14: attention.window: no block has the token mixer 'window'");
    refuse("{kind: mhsa, stage: {1: {channel: {groups: 2}}}}",
           "attention.stage.1.channel: no block has the token mixer 'channel'");
    refuse("window: {siz: 4}", "unknown key 'siz' in attention.window; did you mean 'size'?");
    refuse("windov: {size: 4}", "unknown key 'windov' in attention; did you mean 'window'?");
    refuse("layer: {1: {heds: 4}}",
           "unknown key 'heds' in attention.layer.1; did you mean 'heads'?");
    refuse("layer: {4: {kind: mhsa}}", "attention.layer.4: there is no such layer");
    refuse("stage: {two: {kind: mhsa}}", "attention.stage.two: there is no such stage");
    refuse("layer: {0: {stage: {0: {kind: mhsa}}}}", "unknown key 'stage' in attention.layer.0");
}

Test(layers_mixer_config, wrong_forms_are_told) {
    refuse("stage: mhsa", "stage: expected a map");
    refuse("layer: {0: mhsa}", "0: expected a map");
    refuse("window: 4", "window: expected a map");
    refuse("channel: {variant: v3}", "attention.channel.variant: 'v3' is not v1 or v2");
    refuse("channel: {groups: 3}", "attention.channel.groups: 3 does not divide the width 8");
    refuse("layer: {2: {kind: wind}}", "there is no token mixer 'wind'");
}
