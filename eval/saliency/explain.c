#include "eval/saliency/explain.h"

#include "core/alloc.h"
#include "eval/saliency/saliency_list.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define FV_X(name) extern const fv_saliency_method fv_saliency_##name;
FV_SALIENCY_LIST(FV_X)
#undef FV_X

static const fv_saliency_method *const methods[] = {
#define FV_X(name) &fv_saliency_##name,
    FV_SALIENCY_LIST(FV_X)
#undef FV_X
};

#define METHODS ((int)(sizeof methods / sizeof *methods))

const fv_saliency_method *fv_saliency_at(int i) { return i < METHODS ? methods[i] : NULL; }

static fv_status unknown_method(const char *text) {
    char names[256] = "";
    size_t used = 0;

    for (int i = 0; i < METHODS && used < sizeof names; i++)
        used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", i ? ", " : "",
                                 methods[i]->name);
    return FV_FAIL(FV_ERR_CONFIG, "unknown method '%s' (known: %s)", text, names);
}

static fv_status find_variant(const fv_saliency_method *m, const char *text, const char **variant) {
    char names[256] = "none";
    size_t used = 0;

    for (const char *const *v = m->variants; v && *v; v++) {
        if (strcmp(*v, text) == 0) {
            *variant = *v;
            return FV_OK;
        }
        if (used < sizeof names)
            used +=
                (size_t)snprintf(names + used, sizeof names - used, "%s%s", used ? ", " : "", *v);
    }
    return FV_FAIL(FV_ERR_CONFIG, "method '%s' has no variant '%s' (known: %s)", m->name, text,
                   names);
}

fv_status fv_saliency_find(const char *text, const fv_saliency_method **method,
                           const char **variant) {
    const char *colon = strchr(text, ':');
    const size_t n = colon ? (size_t)(colon - text) : strlen(text);

    for (int i = 0; i < METHODS; i++) {
        const fv_saliency_method *m = methods[i];
        if (strlen(m->name) != n || strncmp(m->name, text, n) != 0) continue;
        *method = m;
        *variant = m->variants ? m->variants[0] : NULL;
        return colon ? find_variant(m, colon + 1, variant) : FV_OK;
    }
    return unknown_method(text);
}

/* Target, its logit and softmax probability. */
static fv_status choose_target(const fv_var *logits, int64_t target, fv_explanation *out) {
    const float *z = logits->data;
    const int64_t K = fv_dim(logits, 1);
    double sum = 0.0;
    int64_t best = 0;

    if (target >= K)
        return FV_FAIL(FV_ERR_CONFIG, "class %lld does not exist: the model has %lld classes",
                       (long long)target, (long long)K);
    for (int64_t k = 1; k < K; k++)
        if (z[k] > z[best]) best = k;
    for (int64_t k = 0; k < K; k++) sum += exp((double)z[k] - (double)z[best]);
    if (!isfinite(sum)) return FV_FAIL(FV_ERR_NONFINITE, "the model's logits are not finite");
    out->target = target < 0 ? best : target;
    out->logit = z[out->target];
    out->probability = (float)(exp((double)out->logit - (double)z[best]) / sum);
    return FV_OK;
}

static fv_status forward(fv_explain_run *run, const fv_model *model, const float *pixels) {
    const fv_explanation *out = run->out;
    const fv_tensor image = {(void *)(uintptr_t)pixels, FV_F32,
                             fv_shape_of(4, (int64_t)1, out->height, out->width, (int64_t)3)};

    fv_tape_begin(run->tape, &(fv_step){.mode = FV_EXPLAIN, .samples = 1, .chunk_samples = 1});
    run->x = fv_input(run->tape, &image, true);
    run->logits = fv_keep(fv_model_forward(model, run->x));
    return fv_tape_status(run->tape);
}

/* The logits can be finite where the gradient overflows. */
static fv_status check_finite(const fv_explanation *out) {
    if (fv_kernel()->all_finite(3 * out->height * out->width, out->relevance)) return FV_OK;
    return FV_FAIL(FV_ERR_NONFINITE, "the relevance of the pixels is not finite");
}

static fv_status check_account(const fv_explanation *out) {
    const fv_account *a = &out->account;

    if (!out->has_account || fv_conservation_error(a) <= FV_ACCOUNT_TOLERANCE) return FV_OK;
    return FV_FAIL(FV_ERR_INTERNAL,
                   "relevance does not add up: %.3g end to end, %.3g at %s (tolerance %.0e)",
                   a->end_to_end, a->worst_op, a->worst_op_name, FV_ACCOUNT_TOLERANCE);
}

fv_status fv_explain(fv_tape *tape, const fv_model *model, const float *pixels,
                     const fv_saliency_method *method, const char *variant, int64_t target,
                     fv_explanation *out) {
    *out = (fv_explanation){.height = model->input.height, .width = model->input.width};
    const int64_t n = out->height * out->width;
    fv_explain_run run = {.tape = tape, .model = model, .variant = variant, .out = out};
    fv_status status = FV_ERR_NOMEM;

    if (!run.variant && method->variants) run.variant = method->variants[0];
    out->relevance = fv_calloc((size_t)(3 * n), sizeof *out->relevance);
    out->map = fv_calloc((size_t)n, sizeof *out->map);
    float *seed = fv_calloc((size_t)model->num_classes, sizeof *seed);
    if (!out->relevance || !out->map || !seed) goto cleanup;
    status = forward(&run, model, pixels);
    if (status == FV_OK) status = choose_target(run.logits, target, out);
    if (status != FV_OK) goto cleanup;
    seed[out->target] = 1.0f;
    run.seed = seed;
    status = method->run(&run);
    if (status == FV_OK) status = check_finite(out);
    if (status == FV_OK) status = check_account(out);
    for (int64_t i = 0; status == FV_OK && i < n; i++)
        out->map[i] = out->relevance[3 * i] + out->relevance[3 * i + 1] + out->relevance[3 * i + 2];
cleanup:
    fv_free(seed);
    if (status != FV_OK) fv_explanation_destroy(out);
    return status;
}

void fv_explanation_destroy(fv_explanation *e) {
    fv_free(e->relevance);
    fv_free(e->map);
    e->relevance = e->map = NULL;
}

/* Not fmax: a NaN must not hide behind a number. */
double fv_conservation_error(const fv_account *account) {
    const double a = account->end_to_end, b = account->worst_op;
    return isnan(a) || a >= b ? a : b;
}
