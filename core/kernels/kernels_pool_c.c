/* Max pooling of rows of channels in plain C. */
#include "core/kernels/kernels.h"
#include "core/kernels/kernels_c.h"

#include <math.h>

static void max_pool(const fv_window *w, int64_t n, const void *x, fv_dtype type, void *y,
                     uint8_t *winner) {
    for (int64_t c = 0; c < n; c++) {
        float best = load_as(type, x, w->offset[0] + c);
        uint8_t place = w->place[0];
        for (int64_t i = 1; i < w->count; i++) {
            const float v = load_as(type, x, w->offset[i] + c);
            const bool wins = v > best || isnan(v);
            best = wins ? v : best;
            place = wins ? w->place[i] : place;
        }
        store_as(type, y, c, best);
        if (winner) winner[c] = place;
    }
}

static void max_pool_backward(const fv_window *w, int64_t n, const void *dy, fv_dtype dy_type,
                              const uint8_t *winner, void *dx, fv_dtype dx_type) {
    for (int64_t c = 0; c < n; c++) {
        float sum = 0.0f;
        for (int64_t i = 0; i < w->count; i++)
            if (winner[w->offset[i] + c] == w->place[i])
                sum += load_as(dy_type, dy, w->offset[i] + c);
        store_as(dx_type, dx, c, sum);
    }
}

void fv_kernels_init_pool_c(fv_kernels *table) {
    table->max_pool = max_pool;
    table->max_pool_backward = max_pool_backward;
}
