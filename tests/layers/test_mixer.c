#include "layers/mixer.h"

#include "core/yaml.h"
#include "layers/mixer_config.h"
#include "tests/support/layer_run.h"

#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>

static layer_run run;
static fv_mixer_layer layer;
static const fv_mixer_shape shape = {.n_tokens = 5,
                                     .n_prefix = 1,
                                     .grid_h = 2,
                                     .grid_w = 2,
                                     .dim = 8,
                                     .heads = 2,
                                     .qkv_bias = true,
                                     .proj_bias = true};

static void enter(void) { layer_run_open(&run); }
static void leave(void) { layer_run_close(&run); }

TestSuite(layers_mixer, .init = enter, .fini = leave);

static fv_status init(const char *yaml) {
    fv_value *cfg = NULL;
    if (yaml) cr_assert_eq(fv_yaml_parse(yaml, strlen(yaml), "grid.yaml", &run.arena, &cfg), FV_OK);
    const fv_status status =
        fv_mixer_layer_init(&layer, layer_run_scope(&run, "attn"), cfg, &shape);
    return status == FV_OK ? fv_mixer_config_check(cfg) : status;
}

Test(layers_mixer, list_is_complete_and_finds) {
    int n = 0;
    for (const fv_mixer *m; (m = fv_mixer_at(n)); n++) {
        cr_assert_eq(fv_mixer_find(m->kind), m);
        cr_assert(m->init && m->forward && m->keys && m->keys[0]);
        cr_assert_str_eq(m->keys[0], "kind");
    }
    cr_assert_geq(n, 1);
    cr_assert_null(fv_mixer_find("telepathy"));
    cr_assert_null(fv_mixer_at(-1));
}

Test(layers_mixer, every_kind_maps_tokens_to_an_update_of_their_shape) {
    for (int i = 0; fv_mixer_at(i); i++) {
        char yaml[64];
        snprintf(yaml, sizeof yaml, "kind: %s\n", fv_mixer_at(i)->kind);
        cr_assert_eq(init(yaml), FV_OK, "%s", fv_error_message());
        layer_run_ready(&run);
        fv_var *x = layer_run_begin(&run, &(fv_step){.mode = FV_TRAIN},
                                    fv_shape_of(3, (int64_t)3, (int64_t)5, (int64_t)8));
        const fv_var *y = fv_mixer_layer_forward(&layer, x);
        cr_assert_eq(fv_tape_status(run.tape), FV_OK, "%s", fv_error_message());
        cr_assert(fv_shape_equal(&y->shape, &x->shape), "%s", fv_mixer_at(i)->kind);
        layer_run_close(&run);
        layer_run_open(&run);
    }
}

Test(layers_mixer, default_is_mhsa) {
    cr_assert_eq(init(NULL), FV_OK);
    cr_assert_str_eq(layer.mixer->kind, "mhsa");
    cr_assert_not_null(fv_params_find(&run.params, "attn.qkv.weight"));
}

static void refuse(const char *yaml, const char *says) {
    cr_assert_eq(init(yaml), FV_ERR_CONFIG);
    cr_assert(strstr(fv_error_message(), says), "%s", fv_error_message());
}

Test(layers_mixer, unknown_kind_is_told_with_its_place) {
    refuse("kind: mhas", "grid.yaml:1:7: attention.kind: there is no token mixer 'mhas'; "
                         "did you mean 'mhsa'?");
}

Test(layers_mixer, a_key_it_does_not_understand_is_never_ignored) {
    refuse("kind: mhsa\ncausal: true", "unknown key 'causal'");
}

Test(layers_mixer, a_misspelt_key_gets_a_suggestion) {
    refuse("qkv_bais: false", "did you mean 'qkv_bias'?");
}

Test(layers_mixer, a_list_is_not_a_group) { refuse("[mhsa]", "expected a map"); }
