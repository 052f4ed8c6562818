#include "tests/golden_runner/saliency_case.h"

#include <math.h>
#include <string.h>

fv_step saliency_step(int64_t samples) {
    return (fv_step){.mode = FV_EXPLAIN, .samples = samples, .chunk_samples = 1};
}

const float *saliency_seed(golden *g, const fv_var *logits, const int64_t *target,
                           fv_signal_kind kind) {
    const int64_t B = fv_dim(logits, 0), K = fv_dim(logits, 1);
    const float *z = logits->data;
    float *seed = fv_arena_calloc(&g->arena, (size_t)(B * K), sizeof *seed);

    for (int64_t b = 0; seed && b < B; b++)
        seed[b * K + target[b]] = kind == FV_SIGNAL_R ? z[b * K + target[b]] : 1.0f;
    return seed;
}

bool saliency_walk_by(golden *g, const char *what, fv_var *y, const float *start,
                      fv_signal_kind kind, fv_rule_fn *pick, void *user, fv_ledger *ledger) {
    fv_status status = fv_ledger_init(ledger, fv_dim(y, 0), &g->arena);

    if (status == FV_OK)
        status = fv_tape_relevance(y->tape, y, start, (int)kind, pick, user, ledger);
    if (status != FV_OK) golden_fail(g, what, "%s", fv_error_message());
    return status == FV_OK;
}

bool saliency_walk(golden *g, const char *what, fv_var *y, const float *start,
                   const fv_composite *composite, fv_ledger *ledger) {
    fv_composite *user = (fv_composite *)(uintptr_t)composite;
    double worst = 0.0;

    if (!saliency_walk_by(g, what, y, start, fv_composite_kind(composite), fv_composite_pick, user,
                          ledger))
        return false;
    for (int64_t b = 0; b < ledger->n_samples; b++)
        if (!(ledger->worst[b].error <= worst)) worst = ledger->worst[b].error;
    golden_result(g, golden_text(g, "%s (ops close)", what), worst, 1e-4);
    return true;
}

const float *saliency_of(golden *g, const fv_var *v, saliency_what what) {
    const float *found = what == SALIENCY_VALUE      ? v->data
                         : what == SALIENCY_GRADIENT ? v->grad.data
                                                     : v->relevance.data;
    if (found) return found;
    return fv_arena_calloc(&g->arena, (size_t)fv_shape_numel(&v->shape) + 1, sizeof *found);
}

const fv_var *saliency_tap(golden *g, const fv_tape *tape, const char *name) {
    const fv_var *v = fv_tape_find(tape, name);
    if (!v) golden_fail(g, name, "the network names no such value");
    return v;
}

void saliency_compare(golden *g, const char *name, const fv_var *v, saliency_what what,
                      float factor, double tolerance) {
    const int64_t n = fv_shape_numel(&v->shape);
    const float *values = saliency_of(g, v, what);
    float *scaled = fv_arena_alloc(&g->arena, (size_t)n + 1, sizeof *scaled);

    for (int64_t i = 0; scaled && values && i < n; i++) scaled[i] = factor * values[i];
    if (scaled && values)
        golden_compare(g, name, scaled, n, 0, tolerance);
    else
        golden_fail(g, name, "%s", fv_error_message());
}

void saliency_compare_map(golden *g, const char *name, const fv_var *v, saliency_what what,
                          double tolerance) {
    const float *values = saliency_of(g, v, what);
    const float *planar = values ? golden_planar(g, &v->shape, values) : NULL;

    if (planar)
        golden_compare(g, name, planar, fv_shape_numel(&v->shape), 0, tolerance);
    else
        golden_fail(g, name, "%s", fv_error_message());
}

const float *saliency_channel_sums(golden *g, const fv_shape *shape, const float *values) {
    const int64_t C = fv_shape_last(shape), n = fv_shape_numel(shape) / C;
    float *out = fv_arena_alloc(&g->arena, (size_t)n + 1, sizeof *out);

    for (int64_t i = 0; out && i < n; i++) {
        double sum = 0.0;
        for (int64_t c = 0; c < C; c++) sum += (double)values[i * C + c];
        out[i] = (float)sum;
    }
    return out;
}

void saliency_sample_sums(const fv_shape *shape, const float *values, int64_t stride, float *out) {
    const int64_t B = shape->dim[0], n = fv_shape_numel(shape) / B;

    for (int64_t b = 0; b < B; b++) {
        double sum = 0.0;
        for (int64_t i = 0; i < n; i++) sum += (double)values[b * n + i];
        out[b * stride] = (float)sum;
    }
}

const int64_t *saliency_targets(golden *g, const char *name, int64_t n) {
    fv_shape shape;
    const int64_t *target = golden_i64(g, name, &shape);

    if (!target || fv_shape_numel(&shape) == n) return target;
    golden_fail(g, name, "another number of images");
    return NULL;
}
