#include "eval/saliency/smoothgrad.h"

#include "core/elements.h"
#include "core/rng.h"
#include "eval/saliency/copies.h"
#include "eval/saliency/gradient.h"

#include <math.h>
#include <string.h>

typedef struct smoothing {
    const float *image, *noise;
    int64_t size; /* 3 H W */
    double scale; /* sigma (max x - min x) */
    uint64_t seed;
    fv_smoothgrad_kind kind;
    double *mean;    /* [size] of g, or of g^2 */
    double *squares; /* [size] sum of (g - mean)^2 */
} smoothing;

/* A noisy image, and its gradient. */
typedef struct copy {
    const smoothing *s;
    int64_t k;
    float *pixels;
    const float *gradient;
} copy;

static void make_block(int64_t sample, int64_t begin, int64_t end, double *unused, void *arg) {
    const copy *c = arg;
    const smoothing *s = c->s;
    const fv_rng_key key = {.seed = s->seed, .purpose = FV_RNG_SMOOTHGRAD, .step = (uint32_t)c->k};

    (void)sample, (void)unused;
    for (int64_t i = begin; i < end; i++) {
        const float e = s->noise ? s->noise[c->k * s->size + i] : fv_rng_normal(&key, (uint64_t)i);
        c->pixels[i] = (float)((double)s->image[i] + s->scale * (double)e);
    }
}

static void make(void *user, int64_t k, float *pixels) {
    const smoothing *s = user;

    fv_for_elements(1, s->size, 1, make_block, &(copy){.s = s, .k = k, .pixels = pixels});
}

/* Running moments (Welford 1962): equal gradients have exactly their value and no variance. */
static void take_block(int64_t sample, int64_t begin, int64_t end, double *unused, void *arg) {
    const copy *c = arg;
    const smoothing *s = c->s;

    (void)sample, (void)unused;
    for (int64_t i = begin; i < end; i++) {
        const double g = (double)c->gradient[i];
        const double v = s->kind == FV_SMOOTHGRAD_SQUARED ? g * g : g, before = v - s->mean[i];
        s->mean[i] += before / (double)(c->k + 1);
        s->squares[i] += before * (v - s->mean[i]);
    }
}

static void take(void *user, int64_t k, const float *logits, const float *gradient) {
    const smoothing *s = user;

    (void)logits;
    fv_for_elements(1, s->size, 1, take_block, &(copy){.s = s, .k = k, .gradient = gradient});
}

static double range(const float *x, int64_t n) {
    float low = x[0], high = x[0];

    for (int64_t i = 1; i < n; i++) {
        low = fminf(low, x[i]);
        high = fmaxf(high, x[i]);
    }
    return (double)high - (double)low;
}

fv_status fv_smoothgrad(fv_explain_run *r, int64_t b, int64_t n, double sigma,
                        fv_smoothgrad_kind kind, const float *noise, float *out) {
    const int64_t size = 3 * r->H * r->W;
    const float *image = r->pixels + b * size;
    smoothing s = {.image = image,
                   .noise = noise,
                   .size = size,
                   .scale = sigma * range(image, size),
                   .seed = r->seed,
                   .kind = kind,
                   .mean = fv_arena_calloc(r->arena, (size_t)size, sizeof(double)),
                   .squares = fv_arena_calloc(r->arena, (size_t)size, sizeof(double))};
    const fv_copies copies = {
        .image = b, .count = n, .gradients = true, .user = &s, .make = make, .take = take};

    if (!s.mean || !s.squares) return FV_ERR_NOMEM;
    FV_TRY(fv_copies_run(r, &copies));
    for (int64_t i = 0; i < size; i++)
        out[i] = (float)(kind == FV_SMOOTHGRAD_VARIANCE ? s.squares[i] / (double)n : s.mean[i]);
    return FV_OK;
}

/* In the order of fv_smoothgrad_kind. */
static const char *const variants[] = {"mean", "squared", "variance", NULL};

static fv_status run(fv_explain_run *r) {
    const int64_t n = (int64_t)fv_saliency_number(r->choice, "samples");
    const double sigma = fv_saliency_number(r->choice, "sigma");
    int kind = 0;

    while (strcmp(variants[kind], r->choice->variant) != 0) kind++;
    for (int64_t b = 0; b < r->B; b++) {
        const fv_arena_mark mark = fv_arena_get_mark(r->arena);
        float *out = fv_arena_alloc(r->arena, (size_t)(3 * r->H * r->W), sizeof *out);
        if (!out) return FV_ERR_NOMEM;
        FV_TRY(fv_smoothgrad(r, b, n, sigma, (fv_smoothgrad_kind)kind, NULL, out));
        fv_gradient_map(out, r->H * r->W, false, r->out[b].map);
        fv_arena_rewind(r->arena, mark);
    }
    return FV_OK;
}

static const fv_saliency_param params[] = {{.name = "samples",
                                            .initial = 25,
                                            .min = 1,
                                            .max = 100000,
                                            .integer = true,
                                            .help = "noisy images"},
                                           {.name = "sigma",
                                            .initial = 0.15,
                                            .min = 0,
                                            .max = 10,
                                            .help = "deviation of the noise, of the image's range"},
                                           {0}};

const fv_saliency_method fv_saliency_smoothgrad = {
    .name = "smoothgrad",
    .summary = "gradients of noisy images: their mean, mean square or variance",
    .source = "Smilkov et al. 2017, SmoothGrad; Adebayo et al. 2018; Hooker et al. 2019",
    .variants = variants,
    .params = params,
    .kind = FV_SALIENCY_MAP,
    .run = run};
