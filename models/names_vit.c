/* names_vit.c - ViT and distilled DeiT as the transformers library names them: query, key and value are
 * three layers there.  Undistilled DeiT is published as a ViT. */
#include "models/names.h"

/* What both have in common, below their prefix. */
#define ENCODER_RULES(prefix)                                                         \
    {"cls_token", prefix ".embeddings.cls_token"},                                    \
        {"pos_embed", prefix ".embeddings.position_embeddings"},                      \
        {"patch_embed.proj.*", prefix ".embeddings.patch_embeddings.projection.*"},   \
        {"blocks.#.norm1.*", prefix ".encoder.layer.#.layernorm_before.*"},           \
        {"blocks.#.attn.qkv.*",                                                       \
         prefix ".encoder.layer.#.attention.attention.{query,key,value}.*"},          \
        {"blocks.#.attn.proj.*", prefix ".encoder.layer.#.attention.output.dense.*"}, \
        {"blocks.#.norm2.*", prefix ".encoder.layer.#.layernorm_after.*"},            \
        {"blocks.#.mlp.fc1.*", prefix ".encoder.layer.#.intermediate.dense.*"},       \
        {"blocks.#.mlp.fc2.*", prefix ".encoder.layer.#.output.dense.*"},             \
        {"norm.*", prefix ".layernorm.*"},

static const fv_name_rule vit_rules[] = {
    ENCODER_RULES("vit"){"head.*", "classifier.*"},
    {NULL, NULL},
};

static const fv_name_rule deit_rules[] = {
    ENCODER_RULES("deit"){"dist_token", "deit.embeddings.distillation_token"},
    {"head.*", "cls_classifier.*"},
    {"head_dist.*", "distillation_classifier.*"},
    {NULL, NULL},
};

const fv_naming fv_naming_vit_transformers = {
    .name = "transformers", .whose = "transformers' ViT names", .family = "vit", .rule = vit_rules};

const fv_naming fv_naming_deit_transformers = {.name = "transformers",
                                               .whose = "transformers' DeiT names",
                                               .family = "vit",
                                               .rule = deit_rules};
