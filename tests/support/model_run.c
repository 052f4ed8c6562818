#include "tests/support/model_run.h"

#include "core/alloc.h"
#include "core/file.h"
#include "core/ops.h"
#include "core/parallel.h"
#include "core/rng.h"
#include "core/yaml.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 64 }; /* images of a pass */

static void need(bool ok, const char *what) {
    if (ok) return;
    fprintf(stderr, "model_run: %s: %s\n", what, fv_error_message());
    abort();
}

void model_run_open(model_run *r) {
    *r = (model_run){0};
    fv_threads_set(1); /* they wait for each other's cores on a busy machine */
    need(fv_tape_create(&r->tape) == FV_OK, "tape");
}

void model_run_close(model_run *r) {
    fv_threads_set(0);
    fv_model_destroy(r->model);
    fv_tape_destroy(r->tape);
    fv_arena_destroy(&r->arena);
    *r = (model_run){0};
}

const fv_value *model_run_yaml(model_run *r, const char *name, const char *text) {
    const char *file = fv_arena_printf(&r->arena, "%s.yaml", name);
    fv_value *v = NULL;

    need(file && fv_yaml_parse(text, strlen(text), file, &r->arena, &v) == FV_OK, text);
    return v;
}

void model_run_create(model_run *r, const fv_model_config *config) {
    fv_model_destroy(r->model);
    r->model = NULL;
    need(fv_model_create(config, true, &r->model) == FV_OK, config->name);
    fv_model_init(r->model, 1);
}

fv_tensor model_run_pixels(model_run *r, int64_t first, int64_t n) {
    const fv_model_input *in = &r->model->input;
    const int64_t per = in->height * in->width * 3;
    float *x = fv_arena_alloc(&r->arena, (size_t)(n * per), sizeof *x);

    need(x != NULL, "images");
    for (int64_t b = 0; b < n; b++) {
        const fv_rng_key key = {.purpose = FV_RNG_TEST, .sample = (uint32_t)(first + b)};
        for (int64_t i = 0; i < per; i++) x[b * per + i] = fv_rng_normal(&key, (uint64_t)i);
    }
    return (fv_tensor){x, FV_F32, fv_shape_of(4, n, in->height, in->width, (int64_t)3)};
}

fv_var *model_run_forward(model_run *r, const fv_step *step, int64_t n) {
    const fv_tensor x = model_run_pixels(r, step->first_sample, n);

    fv_tape_begin(r->tape, step);
    fv_var *y = fv_keep(fv_model_forward(r->model, fv_input(r->tape, &x, false)));
    need(fv_tape_status(r->tape) == FV_OK, "forward");
    return y;
}

const float *model_run_pass(model_run *r, const fv_step *step, int64_t n) {
    const fv_arena_mark mark = fv_arena_get_mark(&r->arena);
    const fv_tensor x = model_run_pixels(r, step->first_sample, n);
    int32_t labels[MOST];
    float dy[MOST];

    need(n <= MOST, "images of a pass");
    for (int64_t b = 0; b < n; b++) {
        labels[b] = (int32_t)((step->first_sample + b) % r->model->num_classes);
        dy[b] = 1.0f / (float)(step->total_samples ? step->total_samples : n);
    }
    fv_tape_begin(r->tape, step);
    fv_var *logits = fv_model_forward(r->model, fv_input(r->tape, &x, false));
    const fv_tensor y = {labels, FV_I32, fv_shape_of(1, n)};
    fv_var *loss = fv_keep(fv_cross_entropy(logits, fv_input(r->tape, &y, false), 0.0f));
    need(fv_tape_status(r->tape) == FV_OK, "forward");
    need(fv_tape_backward(r->tape, loss, dy) == FV_OK, "backward");
    fv_arena_rewind(&r->arena, mark); /* the tape holds what it needs from here on */
    return loss->data;
}

model_run_losses model_run_descend(model_run *r, const fv_step *step, int64_t n, int steps,
                                   float rate) {
    const fv_params *params = &r->model->params;
    model_run_losses losses = {0};

    for (int i = 0; i < steps; i++) {
        const float *loss = model_run_pass(r, step, n);
        losses.last = 0.0f;
        for (int64_t b = 0; b < n; b++) losses.last += loss[b] / (float)n;
        if (i == 0) losses.first = losses.last;
        fv_tape_commit(r->tape);
        for (int64_t p = 0; p < params->count; p++) {
            const fv_param *item = params->item[p];
            for (int64_t k = 0; item->grad && k < item->numel; k++)
                item->value[k] -= rate * item->grad[k];
        }
        if (step->bf16) fv_params_bf16_refresh(&r->model->params);
    }
    return losses;
}

const char *model_run_compare_list(model_run *r, const char *name, const char *list) {
    const fv_model_config config = {.name = name};
    const char *path =
        fv_arena_printf(&r->arena, FOVEA_SOURCE_DIR "/tests/golden/params/%s.txt", list);
    const char *found = NULL;
    char text[FV_SHAPE_TEXT];
    uint8_t *bytes = NULL;
    size_t n_bytes = 0;
    fv_model *model = NULL;

    need(fv_file_read(path, 1 << 20, &bytes, &n_bytes) == FV_OK, "list");
    need(fv_model_describe(&config, &model) == FV_OK, name);
    const char *at = (const char *)bytes;
    for (int64_t i = 0; i < model->params.count && !found; i++) {
        const fv_param *p = model->params.item[i];
        const char *line =
            fv_arena_printf(&r->arena, "%s %s %s\n", p->trainable ? "param" : "buffer", p->name,
                            p->shape.rank ? fv_shape_text(&p->shape, text) : "scalar");
        if (strncmp(at, line, strlen(line)) != 0)
            found = fv_arena_printf(&r->arena, "%s instead of %.80s", line, at);
        at += strlen(line);
    }
    if (!found && *at) found = fv_arena_printf(&r->arena, "missing: %.80s", at);
    fv_free(bytes);
    fv_model_destroy(model);
    return found;
}
