#include "tests/golden_runner/saliency_model.h"

#include "tests/golden_runner/convnet_model.h"
#include "tests/support/generator.h"

#include <stdlib.h>
#include <string.h>

/* ---- what the files hold ---- */

static bool fail(golden *g, const char *name) {
    golden_fail(g, name, "%s", fv_error_message());
    return false;
}

/* "param.<name>" of the file; counters are not stored. */
static bool load(golden *g, fv_model *model) {
    for (int64_t i = 0; i < model->params.count; i++) {
        const fv_param *p = model->params.item[i];
        const char *name = golden_text(g, "param.%s", p->name);
        fv_shape shape;
        if (p->flags & FV_PARAM_I64) continue;
        const float *stored = golden_f32(g, name, &shape);
        if (!stored) return false;
        if (!fv_shape_equal(&shape, &p->shape)) {
            golden_fail(g, name, "another shape than the model's");
            return false;
        }
        memcpy(p->value, stored, (size_t)p->numel * sizeof *stored);
    }
    return true;
}

/* "x" [N,3,H,W] with the channels last, and "target". */
static bool read_images(saliency_model *m) {
    fv_shape s, t;
    const float *x = golden_f32(m->g, "x", &s);

    m->target = golden_i64(m->g, "target", &t);
    if (!x || !m->target) return false;
    m->N = s.dim[0];
    m->H = s.dim[2];
    m->W = s.dim[3];
    if (s.rank != 4 || s.dim[1] != 3 || m->N > SALIENCY_MAX_IMAGES || t.dim[0] != m->N) {
        golden_fail(m->g, "x", "not N images of 3 channels with N targets");
        return false;
    }
    float *packed = fv_arena_alloc(&m->g->arena, (size_t)fv_shape_numel(&s), sizeof *packed);
    if (!packed) return fail(m->g, "x");
    const int64_t pixels = m->H * m->W;
    for (int64_t n = 0; n < m->N; n++)
        for (int64_t i = 0; i < 3 * pixels; i++)
            packed[3 * n * pixels + i] = x[(3 * n + i % 3) * pixels + i / 3];
    m->pixels = packed;
    return true;
}

bool saliency_model_open_convnet(golden *g, saliency_model *m) {
    *m = (saliency_model){.g = g};
    if (!read_images(m)) return false;
    if (convnet_model_create(m->H, 5, &m->model) != FV_OK || fv_tape_create(&m->tape) != FV_OK)
        return fail(g, "network");
    return load(g, m->model);
}

bool saliency_model_open_vit(golden *g, saliency_model *m) {
    static const struct {
        const char *name;
        int64_t value;
    } args[] = {{"patch_size", 4}, {"embed_dim", 16}, {"depth", 2}, {"num_heads", 2}};
    fv_value *kwargs = fv_value_new(&g->arena, FV_VALUE_MAP);

    *m = (saliency_model){.g = g};
    for (size_t i = 0; i < sizeof args / sizeof *args; i++)
        fv_value_set(&g->arena, kwargs, args[i].name, fv_value_int(&g->arena, args[i].value));
    fv_value_set(&g->arena, kwargs, "mlp_ratio", fv_value_real(&g->arena, 2.0));
    if (!read_images(m)) return false;
    const fv_model_config config = {
        .name = "mini_vit", .num_classes = 5, .img_size = m->H, .kwargs = kwargs};
    if (fv_model_create(&config, true, &m->model) != FV_OK || fv_tape_create(&m->tape) != FV_OK)
        return fail(g, "network");
    return load(g, m->model);
}

/* Batch-norm statistics stand in the model's own file, a folder up. */
static fv_status load_buffers(golden *g, const fv_model *model) {
    const char *slash = strrchr(g->path, '/');
    const char *path = golden_text(g, "%.*s../model_%s.safetensors",
                                   slash ? (int)(slash + 1 - g->path) : 0, g->path, model->name);
    fv_safetensors *st = NULL;
    fv_status status = fv_safetensors_open(path, &st);

    for (int64_t i = 0; status == FV_OK && i < model->params.count; i++) {
        const fv_param *p = model->params.item[i];
        const fv_safetensors_entry *e;
        if (p->trainable || p->flags & FV_PARAM_I64) continue;
        status = fv_safetensors_need(st, golden_text(g, "buffer.%s", p->name), &e);
        if (status == FV_OK && e->numel != p->numel)
            status = FV_FAIL(FV_ERR_SHAPE, "%s: another shape than the model's", p->name);
        if (status == FV_OK) status = fv_safetensors_read_f32(st, e, p->value);
    }
    fv_safetensors_close(st);
    return status;
}

static fv_status create_family(saliency_model *m) {
    const char *name = fv_safetensors_metadata(m->g->file, "model");
    const char *salt = fv_safetensors_metadata(m->g->file, "salt");
    const char *classes = fv_safetensors_metadata(m->g->file, "num_classes");
    const fv_value *s = golden_meta(m->g, "input_shape");

    if (!name || !classes || !salt || !s || s->count != 4)
        return FV_FAIL(FV_ERR_FORMAT, "metadata without model, num_classes, salt or input_shape");
    const fv_model_config config = {.name = name, .num_classes = strtoll(classes, NULL, 10)};
    m->N = fv_value_at(s, 0)->integer;
    m->H = fv_value_at(s, 2)->integer;
    m->W = fv_value_at(s, 3)->integer;
    if (m->N > SALIENCY_MAX_IMAGES) return FV_FAIL(FV_ERR_FORMAT, "too many images");
    float *pixels = fv_arena_alloc(&m->g->arena, (size_t)(m->N * m->H * m->W * 3), sizeof *pixels);
    if (!pixels) return FV_ERR_NOMEM;
    FV_TRY(fv_model_create(&config, true, &m->model));
    FV_TRY(fv_tape_create(&m->tape));
    fv_generate_params(&m->model->params, salt);
    fv_generate_images(salt, "input", m->N, 3, m->H, m->W, pixels);
    m->pixels = pixels;
    return load_buffers(m->g, m->model);
}

bool saliency_model_open_family(golden *g, saliency_model *m) {
    *m = (saliency_model){.g = g};
    if (create_family(m) != FV_OK) return fail(g, "network");
    m->target = golden_i64(g, "target", NULL);
    return m->target != NULL;
}

void saliency_model_close(saliency_model *m) {
    fv_tape_destroy(m->tape);
    fv_model_destroy(m->model);
}

/* ---- what is compared ---- */

const float *saliency_model_planar(golden *g, const float *packed, int64_t N, int64_t pixels,
                                   int64_t C) {
    float *planar = fv_arena_alloc(&g->arena, (size_t)(N * pixels * C), sizeof *planar);

    for (int64_t i = 0; planar && i < N * pixels * C; i++)
        planar[(i / (pixels * C) * C + i % C) * pixels + i / C % pixels] = packed[i];
    return planar;
}

bool saliency_model_explain(const saliency_model *m, const char *name, const char *text,
                            const fv_saliency_choice *choice, fv_explanation out[]) {
    fv_saliency_choice parsed;
    const fv_explain_request request = {
        .choice = text ? &parsed : choice, .target = m->target, .against = FV_AGAINST_NOTHING};
    fv_status status = text ? fv_saliency_parse(text, &m->g->arena, &parsed) : FV_OK;

    if (status == FV_OK) status = fv_explain(m->tape, m->model, m->pixels, m->N, &request, out);
    return status == FV_OK || fail(m->g, name);
}

void saliency_model_compare(const saliency_model *m, const char *name, const fv_explanation out[],
                            bool maps, double scale, double tolerance) {
    const bool relevance = out[0].relevance && !maps, grid = out[0].grid && !maps;
    const int64_t pixels = grid ? out[0].grid_h * out[0].grid_w : m->H * m->W;
    const int64_t n = relevance ? 3 * pixels : pixels;
    float *all = fv_arena_alloc(&m->g->arena, (size_t)(m->N * n), sizeof *all);

    for (int64_t i = 0; all && i < m->N; i++) {
        const float *from = relevance ? out[i].relevance : grid ? out[i].grid : out[i].map;
        memcpy(all + i * n, from, (size_t)n * sizeof *all);
    }
    const float *planar = all ? saliency_model_planar(m->g, all, m->N, pixels, n / pixels) : NULL;
    if (planar)
        golden_compare(m->g, name, planar, m->N * n, scale, tolerance);
    else
        fail(m->g, name);
}

void saliency_model_check(const saliency_model *m, const char *name, const char *method, bool maps,
                          double scale, double tolerance) {
    fv_explanation out[SALIENCY_MAX_IMAGES];

    if (!saliency_model_explain(m, name, method, NULL, out)) return;
    saliency_model_compare(m, name, out, maps, scale, tolerance);
    for (int64_t i = 0; i < m->N; i++) fv_explanation_destroy(&out[i]);
}
