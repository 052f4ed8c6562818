#include "train/bench/bench_explain.h"

#include "core/alloc.h"
#include "core/clock.h"
#include "core/parallel.h"
#include "eval/saliency/explain.h"
#include "train/bench/bench_common.h"

#include <string.h>

#define MAX_METHODS 32
#define BATCH       8 /* images of a pass, unless batch_size is given */

typedef struct bench {
    const fv_settings *settings;
    const fv_report *report;
    fv_saliency_choice methods[MAX_METHODS];
    int n_methods;
    fv_model *model;
    fv_tape *tape;
    int64_t B;
    float *pixels;           /* [B,H,W,3] */
    fv_explanation *results; /* [B] */
    double *seconds;         /* [n_methods + 1, steps], forward passes last */
} bench;

static fv_status set_up(bench *b, fv_arena *arena) {
    const fv_settings *s = b->settings;
    bool gradients = false;

    if (strcmp(s->precision, "bf16") == 0)
        return FV_FAIL(FV_ERR_CONFIG, "--precision: explanations are computed in f32 only");
    FV_TRY(fv_saliency_parse_list(s->method, arena, MAX_METHODS, b->methods, &b->n_methods));
    if (s->layer[0]) FV_TRY(fv_saliency_use_layer(s->layer, b->methods, b->n_methods));
    for (int i = 0; i < b->n_methods; i++)
        if (fv_saliency_trains(&b->methods[i])) gradients = true;
    FV_TRY(fv_bench_model(s, gradients, false, &b->model));
    b->B = s->given.batch_size ? s->batch_size : BATCH;
    b->pixels = fv_bench_pixels(b->model, b->B, (uint64_t)s->seed);
    b->results = fv_calloc((size_t)b->B, sizeof *b->results);
    b->seconds = fv_alloc((size_t)(b->n_methods + 1), (size_t)s->steps * sizeof *b->seconds);
    if (!b->pixels || !b->results || !b->seconds) return FV_ERR_NOMEM;
    return fv_tape_create(&b->tape);
}

static fv_status forward(bench *b) {
    const fv_model_input *input = &b->model->input;
    const fv_tensor images = {b->pixels, FV_F32,
                              fv_shape_of(4, b->B, input->height, input->width, (int64_t)3)};

    fv_tape_begin(b->tape, &(fv_step){.mode = FV_INFER, .samples = b->B, .chunk_samples = 1});
    fv_model_forward(b->model, fv_input(b->tape, &images, false));
    return fv_tape_status(b->tape);
}

static fv_status explain(bench *b, const fv_saliency_choice *choice) {
    const fv_explain_request request = {
        .choice = choice, .against = FV_AGAINST_NOTHING, .seed = (uint64_t)b->settings->seed};

    FV_TRY(fv_error_context(fv_explain(b->tape, b->model, b->pixels, b->B, &request, b->results),
                            "%s", choice->text));
    for (int64_t k = 0; k < b->B; k++) fv_explanation_destroy(&b->results[k]);
    return FV_OK;
}

/* One turn of method m; m = n_methods is the forward pass. */
static fv_status turn(bench *b, int m, double *seconds) {
    const double start = fv_clock_seconds();

    FV_TRY(m == b->n_methods ? forward(b) : explain(b, &b->methods[m]));
    *seconds = (fv_clock_seconds() - start) / (double)b->B;
    return FV_OK;
}

static fv_status measure(bench *b) {
    const fv_settings *s = b->settings;
    double unused;

    for (int64_t i = -s->warmup; i < s->steps; i++) {
        for (int m = 0; m <= b->n_methods; m++) {
            if (fv_report_stop(b->report)) return FV_FAIL(FV_ERR_INTERRUPTED, "interrupted");
            FV_TRY(turn(b, m, i < 0 ? &unused : &b->seconds[m * s->steps + i]));
        }
    }
    return FV_OK;
}

static void write_method(const bench *b, int m, double forward_seconds, fv_arena *arena,
                         fv_value *list) {
    const int64_t steps = b->settings->steps;
    double *seconds = b->seconds + m * steps;
    const double median = fv_bench_median(seconds, steps);
    fv_value *map = fv_value_add(list, fv_value_new(arena, FV_VALUE_MAP));

    fv_value_set(arena, map, "method", fv_value_string(arena, b->methods[m].text));
    fv_value_set(arena, map, "seconds", fv_value_real(arena, median));
    fv_value_set(arena, map, "fastest", fv_value_real(arena, seconds[0]));
    fv_value_set(arena, map, "slowest", fv_value_real(arena, seconds[steps - 1]));
    fv_value_set(arena, map, "forwards", fv_value_real(arena, median / forward_seconds));
}

static fv_status run(bench *b, fv_arena *arena, fv_value *out) {
    const int64_t steps = b->settings->steps;
    fv_value *list = fv_value_new(arena, FV_VALUE_LIST);

    FV_TRY(set_up(b, arena));
    FV_TRY(measure(b));
    const double forward_seconds = fv_bench_median(b->seconds + b->n_methods * steps, steps);
    for (int m = 0; m < b->n_methods; m++) write_method(b, m, forward_seconds, arena, list);
    fv_value_set(arena, out, "forward_seconds", fv_value_real(arena, forward_seconds));
    fv_value_set(arena, out, "batch_size", fv_value_int(arena, b->B));
    fv_value_set(arena, out, "threads", fv_value_int(arena, fv_threads()));
    fv_value_set(arena, out, "peak_rss_mb", fv_value_real(arena, fv_bench_peak_rss_mb()));
    fv_value_set(arena, out, "methods", list);
    return FV_OK;
}

fv_status fv_bench_explain(const fv_settings *settings, const fv_report *report, fv_arena *arena,
                           fv_value *out) {
    bench b = {.settings = settings, .report = report};

    const fv_status status = run(&b, arena, out);
    fv_tape_destroy(b.tape);
    fv_model_destroy(b.model);
    fv_free(b.pixels);
    fv_free(b.results);
    fv_free(b.seconds);
    return status;
}
