#include "eval/saliency/upsample.h"

#include <math.h>

/* Where sample i of m lies among n: the two neighbours and the second one's share. */
typedef struct between {
    int64_t low, high;
    double part;
} between;

static between place(int64_t i, int64_t n, int64_t m) {
    const double at = fmax(((double)i + 0.5) * (double)n / (double)m - 0.5, 0.0);
    const int64_t low = (int64_t)at < n - 1 ? (int64_t)at : n - 1;
    return (between){low, low + 1 < n ? low + 1 : low, fmin(at - (double)low, 1.0)};
}

void fv_upsample(const float *map, int64_t h, int64_t w, float *out, int64_t H, int64_t W) {
    for (int64_t y = 0; y < H; y++) {
        const between r = place(y, h, H);
        const float *top = map + r.low * w, *bottom = map + r.high * w;
        for (int64_t x = 0; x < W; x++) {
            const between c = place(x, w, W);
            const double a = (1.0 - c.part) * (double)top[c.low] + c.part * (double)top[c.high];
            const double b =
                (1.0 - c.part) * (double)bottom[c.low] + c.part * (double)bottom[c.high];
            out[y * W + x] = (float)((1.0 - r.part) * a + r.part * b);
        }
    }
}
