/* transform_erase.c - random erasing (Zhong et al. 2020, "Random Erasing Data Augmentation"), timm's
 * form: with probability reprob, recount rectangles of the normalised image are filled.  Together they
 * have an area of 2 % to a third, each a ratio of height and width of 0.3 to 1/0.3, log-uniform; one that
 * does not fit within ten attempts is left out. */
#include "data/transform_list.h"

#include <math.h>

#define ATTEMPTS  10
#define MIN_AREA  0.02
#define MAX_AREA  (1.0 / 3.0)
#define MIN_RATIO 0.3

/* Rectangle i takes the double draws 1 + 4 (10 i + attempt) ... */
bool fv_erase_draw(const fv_augment *augment, const fv_rng_key *key, int64_t i, int64_t height,
                   int64_t width, fv_crop *out) {
    const double area = (double)(height * width) / (double)augment->recount;

    for (int64_t attempt = 0; attempt < ATTEMPTS; attempt++) {
        const uint64_t at = (uint64_t)(1 + 4 * (ATTEMPTS * i + attempt));
        const double u = fv_rng_uniform_double(key, at), v = fv_rng_uniform_double(key, at + 1);
        const double target = area * (MIN_AREA + u * (MAX_AREA - MIN_AREA));
        const double ratio = exp(log(MIN_RATIO) * (1.0 - 2.0 * v));
        const int64_t h = (int64_t)rint(sqrt(target * ratio));
        const int64_t w = (int64_t)rint(sqrt(target / ratio));
        if (h >= height || w >= width) continue;
        const double y = fv_rng_uniform_double(key, at + 2), x = fv_rng_uniform_double(key, at + 3);
        *out = (fv_crop){.top = (int64_t)(y * (double)(height - h + 1)),
                         .left = (int64_t)(x * (double)(width - w + 1)),
                         .height = h,
                         .width = w};
        return true;
    }
    return false;
}

/* Normal noise i.i.d., one colour, or the mean colour; noise: the rectangle's own stream. */
static void fill(const fv_transform_state *s, const fv_crop *r, const fv_rng_key *noise) {
    const fv_erase_mode mode = s->augment->remode;
    const int64_t width = s->pre->img_w;
    float colour[3] = {0};
    uint64_t next = 0;

    for (int c = 0; c < 3 && mode == FV_ERASE_RAND; c++) colour[c] = fv_rng_normal(noise, next++);
    for (int64_t y = r->top; y < r->top + r->height; y++) {
        float *out = s->values + (y * width + r->left) * 3;
        for (int64_t i = 0; i < r->width * 3; i++)
            out[i] = mode == FV_ERASE_PIXEL ? fv_rng_normal(noise, next++) : colour[i % 3];
    }
}

static fv_status finish(fv_transform_state *s) {
    fv_rng_key noise = s->key;
    fv_crop r;

    if (!(fv_rng_uniform_double(&s->key, 0) < s->augment->reprob)) return FV_OK;
    for (int64_t i = 0; i < s->augment->recount; i++) {
        noise.layer = s->key.layer + 1 + (uint32_t)i;
        if (fv_erase_draw(s->augment, &s->key, i, s->pre->img_h, s->pre->img_w, &r))
            fill(s, &r, &noise);
    }
    return FV_OK;
}

const fv_transform fv_transform_erase = {
    .name = "erase", .summary = "rectangles of the normalised image made noise", .finish = finish};
