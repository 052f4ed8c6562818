#include "eval/saliency/attention_flow.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static bool same_map(const fv_attention_matrix *a, const fv_attention_matrix *b) {
    const fv_attention_layout *x = &a->layout, *y = &b->layout;
    return x->n_prefix == y->n_prefix && x->H == y->H && x->W == y->W;
}

fv_status fv_attention_flow_of(const fv_attention_record *record, fv_arena *arena,
                               fv_attention_flow *out) {
    const int64_t n = record->count;
    bool ended = false;

    *out = (fv_attention_flow){0};
    const fv_attention_matrix **layer = fv_arena_calloc(arena, (size_t)n + 1, sizeof *layer);
    if (!layer) return FV_ERR_NOMEM;
    int64_t first = n;
    for (int64_t i = n - 1; i >= 0; i--) {
        const fv_attention_matrix *a = &record->item[i];
        if (a->layout.kind == FV_ATTENTION_CHANNEL) {
            out->n_channel++;
            continue;
        }
        const bool square = fv_attention_is_square(a);
        ended |= out->count && (!square || !same_map(a, layer[n - 1]));
        if (ended || !square) {
            out->n_other++;
            continue;
        }
        layer[--first] = a;
        out->count++;
    }
    out->layer = layer + first;
    if (!out->count) return FV_OK;
    const fv_attention_layout *l = &out->layer[0]->layout;
    out->P = l->n_prefix;
    out->H = l->H;
    out->W = l->W;
    out->T = l->n_prefix + l->H * l->W;
    const size_t size = (size_t)(out->T * out->T);
    out->fused = fv_arena_alloc(arena, size, sizeof *out->fused);
    out->scratch = fv_arena_alloc(arena, size, sizeof *out->scratch);
    out->product = fv_arena_alloc(arena, size, sizeof *out->product);
    return out->fused && out->scratch && out->product ? FV_OK : FV_ERR_NOMEM;
}

static void set_identity(int64_t T, float *R) {
    memset(R, 0, (size_t)(T * T) * sizeof *R);
    for (int64_t i = 0; i < T; i++) R[i * T + i] = 1.0f;
}

/* out = a b (+ b with residual), all [T,T] */
static void multiply(int64_t T, const float *a, const float *b, bool residual, float *out) {
    memset(out, 0, (size_t)(T * T) * sizeof *out);
    if (residual) memcpy(out, b, (size_t)(T * T) * sizeof *out);
    for (int64_t i = 0; i < T; i++)
        for (int64_t k = 0; k < T; k++) {
            const float w = a[i * T + k];
            for (int64_t j = 0; w != 0.0f && j < T; j++) out[i * T + j] += w * b[k * T + j];
        }
}

/* ---- rollout ---- */

typedef struct entry {
    float value;
    int64_t at;
} entry;

/* Smallest first, of equals the one further in front. */
static int by_value(const void *a, const void *b) {
    const entry *x = a, *y = b;
    if (x->value != y->value) return x->value < y->value ? -1 : 1;
    return (x->at > y->at) - (x->at < y->at);
}

static void drop_smallest(const fv_attention_flow *flow, double share, entry *entries) {
    const int64_t T = flow->T, n = T * T;
    const int64_t dropped = (int64_t)(share * (double)n);

    for (int64_t i = 0; i < n; i++) entries[i] = (entry){flow->fused[i], i};
    qsort(entries, (size_t)n, sizeof *entries, by_value);
    for (int64_t i = 0; i < dropped; i++)
        if (entries[i].at % T >= flow->P) flow->fused[entries[i].at] = 0.0f;
}

/* (A + I) / 2 with rows that add up to 1, in place. */
static void add_residual(int64_t T, float *A) {
    for (int64_t i = 0; i < T; i++) {
        float *row = A + i * T;
        double sum = 1.0;
        for (int64_t j = 0; j < T; j++) sum += (double)row[j];
        row[i] += 1.0f;
        for (int64_t j = 0; j < T; j++) row[j] = (float)((double)row[j] / sum);
    }
}

fv_status fv_attention_rollout(fv_attention_flow *flow, int64_t sample, fv_attention_fuse fuse,
                               double discard, float *R) {
    const int64_t T = flow->T;
    fv_arena arena = {0};
    entry *entries = NULL;

    if (discard > 0.0) {
        entries = fv_arena_alloc(&arena, (size_t)(T * T), sizeof *entries);
        if (!entries) return FV_ERR_NOMEM;
    }
    set_identity(T, R);
    for (int64_t l = 0; l < flow->count; l++) {
        fv_attention_fused(flow->layer[l], sample, FV_ATTENTION_WEIGHT, fuse, flow->scratch,
                           flow->fused);
        if (entries) drop_smallest(flow, discard, entries);
        add_residual(T, flow->fused);
        multiply(T, flow->fused, R, false, flow->product);
        memcpy(R, flow->product, (size_t)(T * T) * sizeof *R);
    }
    fv_arena_destroy(&arena);
    return FV_OK;
}

/* R = I, then R += mean_h(value) R for each layer. */
static void accumulate(fv_attention_flow *flow, int64_t sample, fv_attention_value value,
                       float *R) {
    const int64_t T = flow->T;

    set_identity(T, R);
    for (int64_t l = 0; l < flow->count; l++) {
        fv_attention_fused(flow->layer[l], sample, value, FV_ATTENTION_FUSE_mean, flow->scratch,
                           flow->fused);
        multiply(T, flow->fused, R, true, flow->product);
        memcpy(R, flow->product, (size_t)(T * T) * sizeof *R);
    }
}

void fv_attention_gradient_rollout(fv_attention_flow *flow, int64_t sample, float *R) {
    accumulate(flow, sample, FV_ATTENTION_POSITIVE, R);
}

void fv_attention_relevance_rollout(fv_attention_flow *flow, int64_t sample, float *R) {
    accumulate(flow, sample, FV_ATTENTION_RELEVANT, R);
}

/* ---- results ---- */

void fv_attention_readout(const fv_attention_flow *flow, const fv_model *model, const float *R,
                          float *grid) {
    const int64_t T = flow->T, P = flow->P, HW = flow->H * flow->W;
    const bool token = P > 0 && strcmp(model->global_pool, "token") == 0;
    const int64_t first = token ? 0 : P, n = token ? (model->classifiers[1] ? 2 : 1) : HW;

    for (int64_t u = 0; u < HW; u++) {
        double sum = 0.0;
        for (int64_t i = first; i < first + n; i++) sum += (double)R[i * T + P + u];
        grid[u] = (float)(sum / (double)n);
    }
}

static void warn(const fv_explain_run *run, const fv_attention_flow *flow) {
    for (int64_t b = 0; b < run->B; b++) {
        fv_explanation *e = &run->out[b];
        if (!flow->count)
            fv_explanation_warn(e, "no attention between positions: the map is empty");
        else if (flow->n_channel || flow->n_other)
            fv_explanation_warn(e,
                                "%" PRId64 " attentions on the map of %" PRId64 "x%" PRId64
                                " positions; left out: %" PRId64 " between channels, %" PRId64
                                " on other maps",
                                flow->count, flow->H, flow->W, flow->n_channel, flow->n_other);
    }
}

fv_status fv_attention_flow_open(fv_explain_run *run, fv_attention_flow *out) {
    fv_attention_record record;

    FV_TRY(fv_attention_record_read(run->tape, run->arena, &record));
    FV_TRY(fv_attention_flow_of(&record, run->arena, out));
    warn(run, out);
    for (int64_t b = 0; b < run->B; b++)
        if (!fv_explanation_grid(&run->out[b], out->count ? out->H : 1, out->count ? out->W : 1))
            return FV_ERR_NOMEM;
    return FV_OK;
}
