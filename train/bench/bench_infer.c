#include "train/bench/bench_infer.h"

#include "core/alloc.h"
#include "train/bench/bench_common.h"
#include "train/stepper.h"

typedef struct bench {
    const fv_settings *settings;
    const fv_report *report;
    fv_model *model;
    fv_tape *tape;
    fv_gemm_peak *peak;
    float *pixels; /* [batch_size,H,W,3] */
    bool bf16;
} bench;

static fv_status set_up(bench *b) {
    const fv_settings *s = b->settings;
    bool emulated;

    FV_TRY(fv_precision_resolve(s->precision, &b->bf16, &emulated));
    if (emulated) fv_report_warning(b->report, "bf16 is emulated on this CPU");
    FV_TRY(fv_bench_model(s, false, b->bf16, &b->model));
    b->pixels = fv_bench_pixels(b->model, s->batch_size, (uint64_t)s->seed);
    if (!b->pixels) return FV_ERR_NOMEM;
    FV_TRY(fv_tape_create(&b->tape));
    return fv_gemm_peak_create(b->bf16, &b->peak);
}

static fv_status forward(bench *b, int64_t first, int64_t n) {
    const fv_model_input *in = &b->model->input;
    const fv_tensor images = {b->pixels + first * in->height * in->width * 3, FV_F32,
                              fv_shape_of(4, n, in->height, in->width, (int64_t)3)};

    fv_tape_begin(b->tape, &(fv_step){.mode = FV_INFER,
                                      .bf16 = b->bf16,
                                      .samples = n,
                                      .chunk_samples = fv_model_chunk_samples(b->model)});
    fv_model_forward(b->model, fv_input(b->tape, &images, false));
    return fv_tape_status(b->tape);
}

static fv_status step(void *user, int64_t index) {
    bench *b = user;
    const int64_t n = b->settings->batch_size, most = fv_model_pass_samples(b->model, n);

    (void)index;
    for (int64_t first = 0; first < n; first += most)
        FV_TRY(forward(b, first, n - first < most ? n - first : most));
    return FV_OK;
}

static fv_status run(bench *b, fv_arena *arena, fv_value *out) {
    FV_TRY(set_up(b));
    FV_TRY(fv_bench_rate(&(fv_bench_steps){.settings = b->settings,
                                           .report = b->report,
                                           .model = b->model,
                                           .peak = b->peak,
                                           .bf16 = b->bf16,
                                           .step = step,
                                           .user = b,
                                           .images = b->settings->batch_size,
                                           .forwards = 1.0},
                         arena, out));
    return FV_OK;
}

fv_status fv_bench_infer(const fv_settings *settings, const fv_report *report, fv_arena *arena,
                         fv_value *out) {
    bench b = {.settings = settings, .report = report};

    const fv_status status = run(&b, arena, out);
    fv_gemm_peak_destroy(b.peak);
    fv_tape_destroy(b.tape);
    fv_model_destroy(b.model);
    fv_free(b.pixels);
    return status;
}
