#include "eval/saliency/faithful.h"

#include "core/alloc.h"
#include "eval/predict.h"

#include <math.h>
#include <string.h>

/* ---- the choice of metrics ---- */

static fv_status add_metric(fv_faithful *f, const fv_metric *m) {
    for (int i = 0; i < f->n_metrics; i++)
        if (f->metrics[i] == m) return FV_FAIL(FV_ERR_CONFIG, "'%s' is there twice", m->name);
    if (f->n_metrics == FV_FAITHFUL_MAX_METRICS)
        return FV_FAIL(FV_ERR_CONFIG, "more than %d metrics", FV_FAITHFUL_MAX_METRICS);
    f->metrics[f->n_metrics++] = m;
    return FV_OK;
}

fv_status fv_faithful_choose(fv_faithful *f, const char *text, unsigned have) {
    const fv_metric *m;
    fv_arena arena = {0};
    fv_status status = FV_OK;
    char *rest = NULL;

    f->n_metrics = 0;
    for (int i = 0; !text[0] && (m = fv_metric_at(i)); i++)
        if (!m->on_request && !(m->needs & ~have)) FV_TRY(add_metric(f, m));
    char *copy = fv_arena_strdup(&arena, text);
    if (!copy) status = FV_ERR_NOMEM;
    char *name = copy ? strtok_r(copy, ", ", &rest) : NULL;
    for (; name && status == FV_OK; name = strtok_r(NULL, ", ", &rest)) {
        status = fv_metric_find(name, &m);
        if (status == FV_OK && m->needs & ~have)
            status = FV_FAIL(FV_ERR_CONFIG, "metric '%s' needs what the data do not have", m->name);
        if (status == FV_OK) status = add_metric(f, m);
    }
    fv_arena_destroy(&arena);
    return status;
}

static int count_values(const fv_metric *m) {
    int n = 0;
    while (m->values[n].name) n++;
    return n;
}

int fv_faithful_count(const fv_faithful *f) {
    int n = 0;
    for (int i = 0; i < f->n_metrics; i++) n += count_values(f->metrics[i]);
    return n;
}

/* The metric of the k-th number; k becomes the number's place among the metric's. */
static const fv_metric *locate(const fv_faithful *f, int *k) {
    for (int i = 0; i < f->n_metrics; i++) {
        const int n = count_values(f->metrics[i]);
        if (*k < n) return f->metrics[i];
        *k -= n;
    }
    return NULL;
}

const fv_metric *fv_faithful_metric(const fv_faithful *f, int k) { return locate(f, &k); }

const fv_metric_value *fv_faithful_value(const fv_faithful *f, int k) {
    const fv_metric *m = locate(f, &k);
    return m ? &m->values[k] : NULL;
}

/* ---- one image ---- */

/* What the callbacks of a metric's context stand for. */
typedef struct question {
    const fv_faithful *f;
    const fv_saliency_choice *method;
    int64_t target;
} question;

static fv_status score(void *user, const float *images, int64_t n, fv_class_score *out) {
    const question *q = user;
    const fv_model *model = q->f->model;
    const int64_t K = model->num_classes;
    const fv_tensor x = {(void *)(uintptr_t)images, FV_F32,
                         fv_shape_of(4, n, model->input.height, model->input.width, (int64_t)3)};
    fv_tape *tape = q->f->tape;

    fv_tape_begin(tape, &(fv_step){.mode = FV_INFER, .samples = n, .chunk_samples = 1});
    const fv_var *y = fv_keep(fv_model_forward(model, fv_input(tape, &x, false)));
    FV_TRY(fv_tape_status(tape));
    for (int64_t i = 0; i < n; i++) {
        const float *z = (const float *)y->data + i * K;
        out[i].logit = z[q->target];
        out[i].probability = (float)fv_class_probability(z, K, q->target);
    }
    return FV_OK;
}

static fv_status explain_for(const question *q, const float *pixels, int64_t target,
                             fv_explanation *e) {
    const fv_explain_request request = {.choice = q->method,
                                        .target = &target,
                                        .against = q->f->against,
                                        .seed = q->f->seed,
                                        .max_images = q->f->max_images};
    return fv_explain(q->f->tape, q->f->model, pixels, 1, &request, e);
}

static fv_status explain(void *user, const float *pixels, int64_t target, float *map) {
    fv_explanation e;

    FV_TRY(explain_for(user, pixels, target, &e));
    memcpy(map, e.map, (size_t)(e.height * e.width) * sizeof *map);
    fv_explanation_destroy(&e);
    return FV_OK;
}

/* The class with the smallest logit; the first of equals. */
static fv_status least_probable(const fv_faithful *f, const float *pixels, int64_t *least) {
    const int64_t K = f->model->num_classes;
    float *logits = fv_alloc((size_t)K, sizeof *logits);

    *least = 0;
    if (!logits) return FV_ERR_NOMEM;
    const fv_status status = fv_predict_pixels(f->tape, f->model, false, pixels, logits);
    for (int64_t k = 1; status == FV_OK && k < K; k++)
        if (logits[k] < logits[*least]) *least = k;
    fv_free(logits);
    return status;
}

/* What is not known of this image. */
static unsigned missing(const fv_metric_context *c) {
    return (c->mask ? 0u : FV_METRIC_MASK) | (c->marker && c->clean ? 0u : FV_METRIC_MARKER) |
           (c->account ? 0u : FV_METRIC_ACCOUNT);
}

static fv_status run_metrics(const fv_faithful *f, const fv_metric_context *context,
                             double *values) {
    for (int i = 0; i < f->n_metrics; values += count_values(f->metrics[i++])) {
        if (f->metrics[i]->needs & missing(context)) continue;
        const fv_status status = fv_metric_run(f->metrics[i], context, values);
        if (status != FV_OK && status != FV_ERR_NONFINITE) return status;
    }
    return FV_OK;
}

static fv_status run_method(const fv_faithful *f, const fv_faithful_image *image, int64_t least,
                            const fv_saliency_choice *method, double *values) {
    question q = {.f = f, .method = method};
    fv_explanation e;

    fv_status status = explain_for(&q, image->pixels, image->target, &e);
    if (status == FV_ERR_NONFINITE) return FV_OK; /* every number stays undefined */
    if (status != FV_OK) return status;
    q.target = e.target;
    const fv_metric_context context = {
        .height = e.height,
        .width = e.width,
        .pixels = image->pixels,
        .map = e.map,
        .target = e.target,
        .least = least,
        .mask = image->mask,
        .marker = image->marker,
        .clean = image->clean,
        .account = e.has_account ? &e.account : NULL,
        .scorer = {.score = score, .user = &q, .batch = f->max_images},
        .explain = explain,
        .explain_user = &q,
        .seed = f->seed,
        .sample = (uint32_t)image->index,
        .settings = f->settings,
        .n_settings = f->n_settings};
    status = run_metrics(f, &context, values);
    fv_explanation_destroy(&e);
    return status;
}

fv_status fv_faithful_run(const fv_faithful *f, const fv_faithful_image *image, double *values) {
    const int n = fv_faithful_count(f);
    int64_t least;

    for (int i = 0; i < f->n_methods * n; i++) values[i] = (double)NAN;
    FV_TRY(least_probable(f, image->pixels, &least));
    for (int m = 0; m < f->n_methods; m++) {
        const fv_status status = run_method(f, image, least, &f->methods[m], values + m * n);
        if (status != FV_OK) return fv_error_context(status, "%s", f->methods[m].text);
    }
    return FV_OK;
}
