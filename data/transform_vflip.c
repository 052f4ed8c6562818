/* transform_vflip.c - turns upside down with probability vflip. */
#include "data/transform_list.h"

static fv_status apply(fv_transform_state *s) {
    const int64_t n = 3 * s->image->width;

    if (!(fv_rng_uniform_double(&s->key, 0) < s->augment->vflip)) return FV_OK;
    uint8_t *a = s->image->pixels, *b = a + (s->image->height - 1) * n;
    for (; a < b; a += n, b -= n) {
        for (int64_t i = 0; i < n; i++) {
            const uint8_t v = a[i];
            a[i] = b[i];
            b[i] = v;
        }
    }
    return FV_OK;
}

const fv_transform fv_transform_vflip = {
    .name = "vflip", .summary = "top-bottom mirror image", .apply = apply};
