/* vit.safetensors, vit_gap.safetensors and family_mini_vit.safetensors, of which the cases about attention
 * alone are run. */
#include "core/json.h"
#include "tests/golden_runner/case_saliency_attention.h"
#include "tests/support/generator.h"

#include <string.h>

#define MAX_IMAGES 8

/* Files keep the last norm of a pooled ViT under its old name. */
static bool load_params(golden *g, fv_model *model) {
    for (int64_t i = 0; i < model->params.count; i++) {
        const fv_param *p = model->params.item[i];
        const bool pooled = strncmp(p->name, "fc_norm.", 8) == 0;
        const char *name = golden_text(g, "param.%s", pooled ? p->name + 3 : p->name);
        fv_shape shape;
        const float *stored = golden_f32(g, name, &shape);
        if (!stored) return false;
        if (fv_shape_numel(&shape) != p->numel) {
            golden_fail(g, name, "another shape than the model's");
            return false;
        }
        memcpy(p->value, stored, (size_t)p->numel * sizeof *stored);
    }
    return true;
}

static float *load_pixels(golden *g, int64_t *N) {
    fv_shape s;
    const float *x = golden_f32(g, "x", &s);
    if (!x || s.rank != 4) return NULL;
    const int64_t C = s.dim[1], HW = s.dim[2] * s.dim[3], n = fv_shape_numel(&s);
    float *pixels = fv_arena_alloc(&g->arena, (size_t)n, sizeof *pixels);
    for (int64_t i = 0; pixels && i < n; i++)
        pixels[i / (C * HW) * C * HW + i % HW * C + i / HW % C] = x[i];
    *N = s.dim[0];
    return pixels;
}

/* What the other cases of the file are about. */
static void skip_rest(golden *g) {
    for (int64_t i = 0; i < fv_safetensors_count(g->file); i++) g->used[i] = true;
    golden_skip(g, "rest");
}

static void run(golden *g) {
    const bool gap = strcmp(g->stem, "vit_gap") == 0;
    const bool family = strncmp(g->stem, "family_", 7) == 0;
    static const char *const kwargs[] = {
        "{\"img_size\": 16, \"patch_size\": 4, \"embed_dim\": 16, \"depth\": 2, \"num_heads\": 2, "
        "\"mlp_ratio\": 2}",
        "{\"img_size\": 16, \"patch_size\": 4, \"embed_dim\": 16, \"depth\": 2, \"num_heads\": 2, "
        "\"mlp_ratio\": 2, \"class_token\": false, \"global_pool\": \"avg\"}"};
    fv_value *args = NULL;
    fv_model *model = NULL;
    attention_case c = {.g = g};

    if (family && strcmp(g->stem, "family_mini_vit") != 0) {
        skip_rest(g);
        return;
    }
    fv_model_config config = {.name = "mini_vit", .num_classes = family ? 10 : 5};
    fv_status status =
        family ? FV_OK : fv_json_parse(kwargs[gap], strlen(kwargs[gap]), g->stem, &g->arena, &args);
    config.kwargs = args;
    if (status == FV_OK) status = fv_model_create(&config, false, &model);
    if (status == FV_OK) status = fv_tape_create(&c.tape);
    c.model = model;
    c.target = golden_i64(g, "target", NULL);
    if (family && status == FV_OK) {
        float *pixels = fv_arena_alloc(&g->arena, (size_t)2 * 32 * 32 * 3, sizeof *pixels);
        fv_generate_params(&model->params, "");
        if (pixels) fv_generate_images("", "input", 2, 3, 32, 32, pixels);
        c.pixels = pixels;
        c.N = 2;
    } else if (status == FV_OK && load_params(g, model)) {
        c.pixels = load_pixels(g, &c.N);
    }
    if (status != FV_OK || !c.pixels || !c.target || c.N > MAX_IMAGES)
        golden_fail(g, "model", "%s", fv_error_message());
    else if (family)
        attention_family_cases(&c);
    else if (gap)
        attention_vit_gap_cases(&c);
    else
        attention_vit_cases(&c);
    skip_rest(g);
    fv_tape_destroy(c.tape);
    fv_model_destroy(model);
}

const golden_kind golden_kind_saliency_vit = {.prefix = "vit", .exact = false, .run = run};
const golden_kind golden_kind_saliency_family = {.prefix = "family_", .exact = false, .run = run};
