/* The layers of timm's models: facts from timm 1.0 (group_parameters with each model's group_matcher). */
#include "models/layer_index.h"

#include <criterion/criterion.h>

#include <string.h>

#define MAX_PARAMS 1024

static fv_model *model;
static int64_t layer[MAX_PARAMS], n_layers;

static void describe(const char *name) {
    fv_model_destroy(model);
    cr_assert_eq(fv_model_describe(&(fv_model_config){.name = name}, &model), FV_OK, "%s",
                 fv_error_message());
    cr_assert_leq(model->params.count, MAX_PARAMS);
    cr_assert_eq(fv_model_layer_index(model, layer, &n_layers), FV_OK);
}

static void leave(void) {
    fv_model_destroy(model);
    model = NULL;
}

TestSuite(models_layer_index, .fini = leave);

static void expect(const char *param, int64_t index) {
    const fv_param *p = fv_params_find(&model->params, param);
    cr_assert(p, "%s has no %s", model->name, param);
    cr_expect_eq(layer[p->index], index, "%s: %s is in layer %lld, not %lld", model->name, param,
                 (long long)layer[p->index], (long long)index);
}

Test(models_layer_index, vit_counts_blocks_between_stem_and_head) {
    describe("vit_tiny_patch16_224");
    cr_assert_eq(n_layers, 14);
    expect("cls_token", 0);
    expect("pos_embed", 0);
    expect("patch_embed.proj.weight", 0);
    expect("blocks.0.norm1.weight", 1);
    expect("blocks.1.attn.qkv.bias", 2);
    expect("blocks.10.mlp.fc2.weight", 11);
    expect("blocks.11.mlp.fc2.bias", 12);
    expect("norm.weight", 12);
    expect("head.weight", 13);
    describe("deit_tiny_distilled_patch16_224");
    cr_assert_eq(n_layers, 14);
    expect("dist_token", 0);
    expect("norm.bias", 12);
    expect("head_dist.weight", 13);
}

Test(models_layer_index, davit_takes_downsampling_with_the_block_behind_it) {
    describe("davit_tiny");
    cr_assert_eq(n_layers, 8);
    expect("stem.conv.weight", 0);
    expect("stages.0.blocks.0.0.norm1.weight", 1);
    expect("stages.0.blocks.0.1.norm1.weight", 1);
    expect("stages.1.downsample.norm.weight", 2);
    expect("stages.1.blocks.0.1.mlp.fc1.weight", 2);
    expect("stages.2.downsample.conv.weight", 3);
    expect("stages.2.blocks.0.0.cpe1.proj.weight", 3);
    expect("stages.2.blocks.1.0.cpe1.proj.weight", 4);
    expect("stages.2.blocks.2.0.cpe1.proj.weight", 5);
    expect("stages.3.downsample.norm.weight", 6);
    expect("head.norm.weight", 7);
    expect("head.fc.weight", 7);
}

Test(models_layer_index, halonet_and_resnet_count_bottlenecks) {
    describe("halonet_h1");
    cr_assert_eq(n_layers, 21);
    expect("stem.conv1.conv.weight", 0);
    expect("stages.0.2.conv1_1x1.conv.weight", 3);
    expect("stages.1.0.shortcut.conv.weight", 4);
    expect("stages.2.9.conv1_1x1.conv.weight", 16);
    expect("stages.3.2.conv1_1x1.conv.weight", 19);
    expect("head.fc.weight", 20);
    describe("sehalonet33ts");
    expect("final_conv.conv.weight", n_layers - 2);
    describe("resnet26t");
    cr_assert_eq(n_layers, 10);
    expect("conv1.0.weight", 0);
    expect("bn1.weight", 0);
    expect("layer1.1.conv1.weight", 2);
    expect("layer4.1.bn3.bias", 8);
    expect("fc.bias", 9);
}

/* timm has no BiFormer: the same rule, depths 2 2 8 2. */
Test(models_layer_index, biformer_counts_blocks) {
    describe("biformer_tiny");
    cr_assert_eq(n_layers, 16);
    expect("downsample_layers.0.0.weight", 0);
    expect("stages.0.0.norm1.weight", 1);
    expect("downsample_layers.2.0.weight", 5);
    expect("stages.2.0.norm1.weight", 5);
    expect("stages.3.1.norm1.weight", 14);
    expect("norm.weight", 14);
    expect("head.weight", 15);
    describe("mini_biformer_stl");
    expect("stages.0.blocks.0.norm1.weight", 1);
}

/* A parameter that no pattern knows would train at the classifier's rate, unnoticed. */
Test(models_layer_index, only_heads_are_in_the_last_layer) {
    const char *name;

    for (int i = 0; (name = fv_model_name(i)); i++) {
        describe(name);
        for (int64_t k = 0; k < model->params.count; k++) {
            const char *param = model->params.item[k]->name;
            cr_expect_eq(layer[k] == n_layers - 1,
                         fv_model_is_classifier(model, param) ||
                             strncmp(param, "head.norm.", 10) == 0,
                         "%s: %s", name, param);
            cr_expect(layer[k] >= 0 && layer[k] < n_layers, "%s: %s", name, param);
        }
    }
}
