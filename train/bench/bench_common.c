#include "train/bench/bench_common.h"

#include "core/alloc.h"
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
