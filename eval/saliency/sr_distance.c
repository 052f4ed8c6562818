/* sr_distance.c - the exact Euclidean distance transform in two passes, linear in the pixels.
 *
 * Meijster, Roerdink and Hesselink (2000): g(x,y) is the distance to the nearest inside pixel of column
 * x; the squared distance at (x,y) is min_i (x - i)^2 + g(i,y)^2, a lower envelope of parabolas along
 * the row.  Everything but the last root is in integers. */
#include "core/alloc.h"
#include "eval/saliency/sr_stages.h"

#include <math.h>

/* g [H,W]; H + W stands for infinity: no pixel is that far away. */
static void column_distances(const uint8_t *inside, int64_t H, int64_t W, int64_t *g) {
    for (int64_t x = 0; x < W; x++) {
        for (int64_t y = 0; y < H; y++)
            g[y * W + x] = inside[y * W + x] ? 0 : y > 0 ? g[(y - 1) * W + x] + 1 : H + W;
        for (int64_t y = H - 2; y >= 0; y--)
            if (g[(y + 1) * W + x] + 1 < g[y * W + x]) g[y * W + x] = g[(y + 1) * W + x] + 1;
    }
}

static int64_t square(int64_t v) { return v * v; }

static int64_t parabola(const int64_t *g, int64_t i, int64_t x) {
    return square(x - i) + square(g[i]);
}

static int64_t floor_divide(int64_t a, int64_t b) { return a / b - (a % b != 0 && a < 0); }

/* start[s] is the first x at which the parabola of column site[s] is the lowest. */
static void row_distances(const int64_t *g, int64_t W, int64_t *site, int64_t *start, float *out) {
    int64_t last = 0;

    site[0] = start[0] = 0;
    for (int64_t x = 1; x < W; x++) {
        while (last >= 0 && parabola(g, site[last], start[last]) > parabola(g, x, start[last]))
            last--;
        if (last < 0) {
            last = 0;
            site[0] = x;
            continue;
        }
        const int64_t i = site[last];
        const int64_t crossing =
            1 + floor_divide(square(x) - square(i) + square(g[x]) - square(g[i]), 2 * (x - i));
        if (crossing < W) {
            last++;
            site[last] = x;
            start[last] = crossing;
        }
    }
    for (int64_t x = W - 1; x >= 0; x--) {
        out[x] = (float)sqrt((double)parabola(g, site[last], x));
        if (x == start[last]) last--;
    }
}

fv_status fv_sr_distance(const uint8_t *inside, int64_t H, int64_t W, float *out) {
    fv_status status = FV_OK;
    bool any = false;

    for (int64_t i = 0; i < H * W; i++) {
        out[i] = 0.0f;
        any = any || inside[i];
    }
    if (!any) return FV_OK;
    int64_t *g = fv_alloc((size_t)(H * W), sizeof *g);
    int64_t *envelope = fv_alloc((size_t)W, 2 * sizeof *envelope);
    if (g && envelope) {
        column_distances(inside, H, W, g);
        for (int64_t y = 0; y < H; y++)
            row_distances(g + y * W, W, envelope, envelope + W, out + y * W);
    } else {
        status = FV_ERR_NOMEM;
    }
    fv_free(g);
    fv_free(envelope);
    return status;
}
