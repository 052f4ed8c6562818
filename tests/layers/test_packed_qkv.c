#include "layers/packed_qkv.h"

#include "core/yaml.h"
#include "tests/support/layer_run.h"

#include <criterion/criterion.h>

#include <string.h>

static layer_run run;
static fv_packed_qkv layer;

static void enter(void) { layer_run_open(&run); }
static void leave(void) { layer_run_close(&run); }

TestSuite(layers_packed_qkv, .init = enter, .fini = leave);

static fv_status init(const char *yaml) {
    const fv_mixer_shape shape = {.dim = 12, .heads = 3, .qkv_bias = true, .proj_bias = true};
    fv_value *cfg = NULL;

    layer_run_close(&run);
    layer_run_open(&run);
    cr_assert_eq(fv_yaml_parse(yaml, strlen(yaml), "", &run.arena, &cfg), FV_OK);
    return fv_packed_qkv_init(&layer, layer_run_scope(&run, "attn"), cfg, &shape);
}

Test(layers_packed_qkv, the_backbone_says_what_no_key_says) {
    cr_assert_eq(init("{}"), FV_OK);
    cr_assert_eq(layer.heads, 3);
    cr_assert_eq(layer.scale, 0.0f);
    cr_assert_float_eq(fv_packed_qkv_scale(&layer, 12), 0.5f, 1e-7f);
    cr_assert_eq(run.params.count, 4);
    cr_assert_eq(fv_params_find(&run.params, "attn.qkv.weight")->shape.dim[0], 36);
}

Test(layers_packed_qkv, keys_go_before_the_backbone) {
    cr_assert_eq(init("{heads: 2, scale: 0.25, qkv_bias: false, proj_bias: false}"), FV_OK);
    cr_assert_eq(layer.heads, 2);
    cr_assert_eq(fv_packed_qkv_scale(&layer, 12), 0.25f);
    cr_assert_eq(run.params.count, 2);
}

Test(layers_packed_qkv, heads_divide_the_width) {
    cr_assert_eq(init("heads: 5"), FV_ERR_CONFIG);
    cr_assert(strstr(fv_error_message(), "attention.heads: 5 does not divide the width 12"), "%s",
              fv_error_message());
}
