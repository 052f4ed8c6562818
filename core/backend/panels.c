#include "core/backend/panels.h"

#include <string.h>

#define STEP 16 /* rows of a at a time, so that its cache lines are read once */

void fv_panel_rows(int64_t n, int64_t width, const float *from, int64_t step, float *panel) {
    const int64_t wide = fv_kernel()->panel;

    for (int64_t i = 0; i < n; i++, from += step, panel += wide)
        if (width == 16) /* a constant: no call */
            memcpy(panel, from, 16 * sizeof *panel);
        else
            memcpy(panel, from, (size_t)width * sizeof *panel);
}

void fv_pack_strips(int64_t m, int64_t k, const float *a, int64_t lda, float *strips) {
    for (int64_t p0 = 0; p0 < k; p0 += STEP) {
        const int64_t end = p0 + STEP < k ? p0 + STEP : k;
        for (int64_t i = 0; i < m; i += FV_STRIP_ROWS) {
            const int64_t rows = m - i < FV_STRIP_ROWS ? m - i : FV_STRIP_ROWS;
            float *to = strips + i * k + p0 * FV_STRIP_ROWS;
            for (int64_t p = p0; p < end; p++, to += FV_STRIP_ROWS)
                if (rows == FV_STRIP_ROWS) /* a constant: no call */
                    memcpy(to, a + p * lda + i, FV_STRIP_ROWS * sizeof *to);
                else
                    memcpy(to, a + p * lda + i, (size_t)rows * sizeof *to);
        }
    }
}
