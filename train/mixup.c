#include "train/mixup.h"

#include "core/parallel.h"

#include <math.h>

bool fv_mixup_enabled(const fv_mixup_config *c) {
    return (c->mixup > 0.0 || c->cutmix > 0.0 || c->cutmix_minmax[1] > 0.0) && c->prob > 0.0;
}

/* ---- what is drawn ---- */

/* Logarithm of a Gamma(a) number: Marsaglia and Tsang 2000 for a + 1, whose smaller sibling is that times
 * U^(1/a).  The logarithm survives where a small a makes the number itself 0. */
static double log_gamma_number(fv_rng_stream *d, double a) {
    const double e = a + 1.0 - 1.0 / 3.0, c = 1.0 / sqrt(9.0 * e);

    for (;;) {
        const double x = fv_rng_next_normal(d), v = pow(1.0 + c * x, 3.0);
        const double u = fv_rng_next(d);
        if (v > 0.0 && log(1.0 - u) < 0.5 * x * x + e - e * v + e * log(v))
            return log(e * v) + log(1.0 - fv_rng_next(d)) / a;
    }
}

static double beta(fv_rng_stream *d, double alpha) {
    const double a = log_gamma_number(d, alpha), b = log_gamma_number(d, alpha);
    return 1.0 / (1.0 + exp(b - a));
}

static int64_t clip(int64_t v, int64_t most) { return v < 0 ? 0 : v > most ? most : v; }

/* A rectangle of the area 1 - lam around a uniform centre, cut off at the border. */
static void place(fv_mix *mix, fv_rng_stream *d, int64_t height, int64_t width) {
    const double side = sqrt(1.0 - mix->lam);
    const int64_t h = (int64_t)((double)height * side), w = (int64_t)((double)width * side);
    const int64_t y = fv_rng_next_below(d, height), x = fv_rng_next_below(d, width);

    mix->top = clip(y - h / 2, height);
    mix->bottom = clip(y + h / 2, height);
    mix->left = clip(x - w / 2, width);
    mix->right = clip(x + w / 2, width);
}

/* from + uniform 0 .. to - from - 1 */
static int64_t between(fv_rng_stream *d, double from, double to, int64_t size) {
    const int64_t low = (int64_t)(from * (double)size), high = (int64_t)(to * (double)size);
    return high > low ? low + fv_rng_next_below(d, high - low) : low;
}

static void place_minmax(fv_mix *mix, const double range[2], fv_rng_stream *d, int64_t height,
                         int64_t width) {
    const int64_t h = between(d, range[0], range[1], height);
    const int64_t w = between(d, range[0], range[1], width);

    mix->top = h < height ? fv_rng_next_below(d, height - h) : 0;
    mix->left = w < width ? fv_rng_next_below(d, width - w) : 0;
    mix->bottom = mix->top + h;
    mix->right = mix->left + w;
}

fv_mix fv_mixup_draw(const fv_mixup_config *c, fv_rng_key key, int64_t height, int64_t width) {
    fv_rng_stream d = {.key = key};
    fv_mix mix = {.lam = 1.0};
    const bool minmax = c->cutmix_minmax[1] > 0.0, can_cut = minmax || c->cutmix > 0.0;

    if (!fv_mixup_enabled(c) || !(fv_rng_next(&d) < c->prob)) return mix;
    mix.cut = can_cut && (!(c->mixup > 0.0) || fv_rng_next(&d) < c->switch_prob);
    if (!mix.cut || !minmax) mix.lam = beta(&d, mix.cut ? c->cutmix : c->mixup);
    if (!mix.cut) return mix;
    if (minmax)
        place_minmax(&mix, c->cutmix_minmax, &d, height, width);
    else
        place(&mix, &d, height, width);
    mix.lam =
        1.0 - (double)((mix.bottom - mix.top) * (mix.right - mix.left)) / (double)(height * width);
    return mix;
}

/* ---- what is done ---- */

static void blend(int64_t n, double lam, float *a, float *b) {
    const float own = (float)lam, other = (float)(1.0 - lam);

    for (int64_t i = 0; i < n; i++) {
        const float x = a[i], y = b[i];
        a[i] = own * x + other * y;
        b[i] = own * y + other * x;
    }
}

static void exchange(int64_t n, float *a, float *b) {
    for (int64_t i = 0; i < n; i++) {
        const float x = a[i];
        a[i] = b[i];
        b[i] = x;
    }
}

void fv_mix_pair(const fv_mix *mix, int64_t height, int64_t width, float *a, float *b) {
    if (!mix->cut) {
        blend(height * width * 3, mix->lam, a, b);
        return;
    }
    for (int64_t y = mix->top; y < mix->bottom; y++) {
        const int64_t at = (y * width + mix->left) * 3;
        exchange((mix->right - mix->left) * 3, a + at, b + at);
    }
}

typedef struct pairs {
    const fv_mix *mix;
    int64_t height, width;
    float *images;
} pairs;

static void mix_one(int64_t i, void *arg) {
    const pairs *p = arg;
    const int64_t n = p->height * p->width * 3;
    fv_mix_pair(p->mix, p->height, p->width, p->images + 2 * i * n, p->images + (2 * i + 1) * n);
}

void fv_mix_images(const fv_mix *mix, int64_t n, int64_t height, int64_t width, float *images) {
    if (mix->lam < 1.0) fv_parallel(n / 2, mix_one, &(pairs){mix, height, width, images});
}

void fv_mix_targets(const fv_mix *mix, int64_t n, const int32_t *labels, int64_t classes,
                    double smoothing, float *targets) {
    const double off = smoothing / (double)classes, on = 1.0 - smoothing;

    for (int64_t i = 0; i < n; i++) {
        const int64_t other = (i ^ 1) < n ? i ^ 1 : i;
        float *t = targets + i * classes;
        for (int64_t k = 0; k < classes; k++) {
            const double share =
                (k == labels[i] ? mix->lam : 0.0) + (k == labels[other] ? 1.0 - mix->lam : 0.0);
            t[k] = (float)(off + on * share);
        }
    }
}
