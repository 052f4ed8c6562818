/* names_davit.c - the names of the DaViT authors' repository (dingmyu/davit): patch embeddings in one list,
 * blocks in another.  Values and shapes are the same. */
#include "models/names.h"

static const fv_name_rule rules[] = {
    {"stem.conv.*", "patch_embeds.0.proj.*"},
    {"stem.norm.*", "patch_embeds.0.norm.*"},
    {"stages.#.downsample.conv.*", "patch_embeds.#.proj.*"},
    {"stages.#.downsample.norm.*", "patch_embeds.#.norm.*"},
    {"stages.#.blocks.#.#.cpe1.*", "main_blocks.#.#.#.cpe.0.*"},
    {"stages.#.blocks.#.#.cpe2.*", "main_blocks.#.#.#.cpe.1.*"},
    {"stages.#.blocks.#.#.*", "main_blocks.#.#.#.*"},
    {"head.norm.*", "norms.*"},
    {"head.fc.*", "head.*"},
    {NULL, NULL},
};

const fv_naming fv_naming_davit_authors = {
    .name = "authors", .whose = "the DaViT authors' names", .family = "davit", .rule = rules};
