#include "eval/saliency/randomisation.h"

#include "core/alloc.h"

#include <math.h>
#include <string.h>

typedef struct question {
    const fv_randomisation *r;
    const float *pixels;
    int64_t target;
} question;

/* The map, per unit of the score where it is made of it. */
static fv_status explain(question *q, float *map) {
    const fv_explain_request request = {.choice = q->r->method,
                                        .target = &q->target,
                                        .against = FV_AGAINST_NOTHING,
                                        .seed = q->r->seed,
                                        .max_images = q->r->max_images};
    fv_explanation e;

    FV_TRY(fv_explain(q->r->tape, q->r->model, q->pixels, 1, &request, &e));
    q->target = e.target;
    const float scale = e.has_account && e.score != 0.0f ? 1.0f / e.score : 1.0f;
    for (int64_t i = 0; i < e.height * e.width; i++) map[i] = scale * e.map[i];
    fv_explanation_destroy(&e);
    return FV_OK;
}

static fv_status randomised(void *user, int64_t stage, float *map) {
    question *q = user;
    const fv_model_input *input = &q->r->model->input;

    if (!q->r->cascade) fv_randomiser_restore(q->r->randomiser);
    fv_randomiser_apply(q->r->randomiser, stage);
    const fv_status status = explain(q, map);
    if (status != FV_ERR_NONFINITE) return status;
    memset(map, 0, (size_t)(input->height * input->width) * sizeof *map);
    return FV_OK;
}

fv_status fv_randomisation_run(const fv_randomisation *r, const float *pixels, int64_t target,
                               fv_map_similarity *out) {
    const int64_t H = r->model->input.height, W = r->model->input.width;
    question q = {r, pixels, target};
    float *original = fv_alloc((size_t)(H * W), sizeof *original);

    if (!original) return FV_ERR_NOMEM;
    fv_randomiser_restore(r->randomiser);
    fv_status status = explain(&q, original);
    if (status == FV_OK)
        status = fv_randomisation_compare(original, H, W, fv_randomiser_stages(r->randomiser),
                                          randomised, &q, out);
    fv_randomiser_restore(r->randomiser);
    fv_free(original);
    return status;
}

/* ---- over images ---- */

fv_status fv_randomisation_table_init(fv_randomisation_table *t, const fv_randomiser *randomiser,
                                      const fv_saliency_choice *methods, int n_methods) {
    const int64_t n_stages = fv_randomiser_stages(randomiser);
    const size_t n = (size_t)(n_methods * n_stages) + 1;

    *t = (fv_randomisation_table){.n_stages = n_stages, .n_methods = n_methods};
    const char **stage = fv_arena_alloc(&t->arena, (size_t)n_stages, sizeof *stage);
    const char **method = fv_arena_alloc(&t->arena, (size_t)n_methods + 1, sizeof *method);
    t->sum = fv_arena_calloc(&t->arena, n, sizeof *t->sum);
    t->count = fv_arena_calloc(&t->arena, n, sizeof *t->count);
    t->constant = fv_arena_calloc(&t->arena, n, sizeof *t->constant);
    if (!stage || !method || !t->sum || !t->count || !t->constant) return FV_ERR_NOMEM;
    for (int64_t i = 0; i < n_stages; i++) stage[i] = fv_randomiser_name(randomiser, i);
    for (int m = 0; m < n_methods; m++) method[m] = methods[m].text;
    t->stage = stage;
    t->method = method;
    return FV_OK;
}

void fv_randomisation_table_free(fv_randomisation_table *t) {
    fv_arena_destroy(&t->arena);
    *t = (fv_randomisation_table){0};
}

void fv_randomisation_table_add(fv_randomisation_table *t, int method,
                                const fv_map_similarity *stages) {
    for (int64_t i = 0; i < t->n_stages; i++) {
        const int64_t at = method * t->n_stages + i;
        t->count[at]++;
        if (stages[i].constant || stages[i].constant_abs) {
            t->constant[at]++;
            continue;
        }
        t->sum[at].spearman += stages[i].spearman;
        t->sum[at].spearman_abs += stages[i].spearman_abs;
        t->sum[at].ssim += stages[i].ssim;
    }
}

static fv_value *mean(fv_arena *arena, double sum, int64_t n) {
    return n ? fv_value_real(arena, sum / (double)n) : fv_value_new(arena, FV_VALUE_NULL);
}

fv_value *fv_randomisation_table_value(const fv_randomisation_table *t, fv_arena *arena) {
    fv_value *list = fv_value_new(arena, FV_VALUE_LIST);

    for (int64_t at = 0; list && at < t->n_methods * t->n_stages; at++) {
        const fv_map_similarity *sum = &t->sum[at];
        const int64_t n = t->count[at] - t->constant[at];
        fv_value *map = fv_value_new(arena, FV_VALUE_MAP);
        if (!map) return NULL;
        fv_value_set(arena, map, "method", fv_value_string(arena, t->method[at / t->n_stages]));
        fv_value_set(arena, map, "stage", fv_value_string(arena, t->stage[at % t->n_stages]));
        fv_value_set(arena, map, "spearman", mean(arena, sum->spearman, n));
        fv_value_set(arena, map, "spearman_abs", mean(arena, sum->spearman_abs, n));
        fv_value_set(arena, map, "ssim", mean(arena, sum->ssim, n));
        fv_value_set(arena, map, "count", fv_value_int(arena, t->count[at]));
        fv_value_set(arena, map, "constant", fv_value_int(arena, t->constant[at]));
        fv_value_add(list, map);
    }
    return list;
}
