/* transform_hflip.c - mirrors left and right with probability hflip. */
#include "data/transform_list.h"

#include <string.h>

static fv_status apply(fv_transform_state *s) {
    const int64_t width = s->image->width;

    if (!(fv_rng_uniform_double(&s->key, 0) < s->augment->hflip)) return FV_OK;
    for (int64_t y = 0; y < s->image->height; y++) {
        uint8_t *a = s->image->pixels + y * width * 3, *b = a + (width - 1) * 3;
        for (; a < b; a += 3, b -= 3) {
            uint8_t pixel[3];
            memcpy(pixel, a, 3);
            memcpy(a, b, 3);
            memcpy(b, pixel, 3);
        }
    }
    return FV_OK;
}

const fv_transform fv_transform_hflip = {
    .name = "hflip", .summary = "left-right mirror image", .apply = apply};
