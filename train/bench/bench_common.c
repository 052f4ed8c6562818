#include "train/bench/bench_common.h"

#include "core/alloc.h"
#include "core/clock.h"
#include "core/parallel.h"
#include "core/rng.h"

#include <stdlib.h>
#include <sys/resource.h>

fv_status fv_bench_model(const fv_settings *s, bool gradients, bool bf16, fv_model **out) {
    fv_model_config config = fv_model_config_of(s);

    if (!s->model[0]) return FV_FAIL(FV_ERR_CONFIG, "bench needs --model (see 'fovea models')");
    config.bf16 = bf16;
    FV_TRY(fv_model_create(&config, gradients, out));
    fv_model_init(*out, (uint64_t)s->seed);
    return FV_OK;
}

float *fv_bench_pixels(const fv_model *model, int64_t n, uint64_t seed) {
    const int64_t values = model->input.height * model->input.width * 3;
    float *pixels = fv_alloc((size_t)n, (size_t)values * sizeof *pixels);

    for (int64_t k = 0; pixels && k < n; k++) {
        const fv_rng_key key = {.seed = seed, .purpose = FV_RNG_SYNTH, .sample = (uint32_t)k};
        for (int64_t i = 0; i < values; i++)
            pixels[k * values + i] = 4.0f * fv_rng_uniform(&key, (uint64_t)i) - 2.0f;
    }
    return pixels;
}

static int compare(const void *pa, const void *pb) {
    const double a = *(const double *)pa, b = *(const double *)pb;
    return a < b ? -1 : a > b;
}

double fv_bench_median(double *v, int64_t n) {
    qsort(v, (size_t)n, sizeof *v, compare);
    return n % 2 ? v[n / 2] : 0.5 * (v[n / 2 - 1] + v[n / 2]);
}

double fv_bench_peak_rss_mb(void) {
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return (double)usage.ru_maxrss / 1024.0;
}

/* The median time of a step, and what the first one took, before the product for the peak does: it records the memory
 * plan and is the largest. */
static fv_status time_steps(const fv_bench_steps *b, double *seconds, double *rss_mb) {
    const int64_t warmup = b->settings->warmup, steps = b->settings->steps;
    fv_status status = FV_OK;

    double *each = fv_alloc((size_t)steps, sizeof *each);
    if (!each) return FV_ERR_NOMEM;
    for (int64_t i = -warmup; i < steps && status == FV_OK; i++) {
        if (fv_report_stop(b->report)) {
            status = FV_FAIL(FV_ERR_INTERRUPTED, "interrupted");
            break;
        }
        const double start = fv_clock_seconds();
        status = b->step(b->user, i + warmup);
        if (i >= 0) each[i] = fv_clock_seconds() - start;
        if (i == -warmup) *rss_mb = fv_bench_peak_rss_mb();
        if (status == FV_OK) status = fv_gemm_peak_measure(b->peak);
    }
    if (status == FV_OK) *seconds = fv_bench_median(each, steps);
    fv_free(each);
    return status;
}

fv_status fv_bench_rate(const fv_bench_steps *b, fv_arena *arena, fv_value *out) {
    fv_model_cost cost;
    double seconds, rss_mb;

    FV_TRY(fv_model_cost_of(b->model, &cost));
    FV_TRY(time_steps(b, &seconds, &rss_mb));
    const double rate = (double)b->images / seconds;
    const double gflops = b->forwards * 2.0 * cost.macs * 1e-9;
    const double peak = fv_gemm_peak_gflops(b->peak);
    const struct {
        const char *key;
        double value;
    } reals[] = {{"gmacs", cost.macs * 1e-9},   {"images_per_second", rate},
                 {"gemm_peak_gflops", peak},    {"model_gflops_per_image", gflops},
                 {"mfu", rate * gflops / peak}, {"peak_rss_mb", rss_mb},
                 {"step_seconds", seconds}};

    fv_value_set(arena, out, "model", fv_value_string(arena, b->model->name));
    fv_value_set(arena, out, "batch_size", fv_value_int(arena, b->images));
    fv_value_set(arena, out, "img_size", fv_value_int(arena, b->model->input.width));
    fv_value_set(arena, out, "params", fv_value_int(arena, fv_params_count(&b->model->params)));
    fv_value_set(arena, out, "activations", fv_value_int(arena, (int64_t)cost.activations));
    for (size_t i = 0; i < sizeof reals / sizeof *reals; i++)
        fv_value_set(arena, out, reals[i].key, fv_value_real(arena, reals[i].value));
    fv_value_set(arena, out, "threads", fv_value_int(arena, fv_threads()));
    fv_value_set(arena, out, "precision", fv_value_string(arena, b->bf16 ? "bf16" : "f32"));
    return FV_OK;
}
