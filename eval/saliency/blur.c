#include "eval/saliency/blur.h"

#include "core/alloc.h"

#include <inttypes.h>
#include <math.h>

static void normalise(double *kernel, int64_t n) {
    double sum = 0.0;
    for (int64_t i = 0; i < n; i++) sum += kernel[i];
    for (int64_t i = 0; i < n; i++) kernel[i] /= sum;
}

static double gaussian(double d, double sigma) { return exp(-d * d / (2.0 * sigma * sigma)); }

void fv_gaussian_kernel(int64_t size, double sigma, double *kernel) {
    for (int64_t i = 0; i < size; i++) kernel[i] = gaussian((double)(i - size / 2), sigma);
    normalise(kernel, size);
}

/* The pixel that position i of the reflected line shows. */
static int64_t reflected(int64_t i, int64_t n) {
    const int64_t period = 2 * n, at = ((i % period) + period) % period;
    return at < n ? at : period - 1 - at;
}

void fv_folded_gaussian_kernel(int64_t size, double sigma, double *kernel) {
    const int64_t reach = (int64_t)(4.0 * sigma + 0.5);

    for (int64_t i = 0; i < size; i++) {
        kernel[i] = 0.0;
        for (int64_t d = -reach; d <= reach; d++)
            if (reflected(i + d, size) == size / 2) kernel[i] += gaussian((double)d, sigma);
    }
    normalise(kernel, size);
}

/* One axis: `lines` lines of n positions, `step` apart; element j of a line lies at line_at(l) +
 * j * step. */
typedef struct axis {
    int64_t n, step;
} axis;

static double weighted(const double *x, axis a, int64_t at, const double *kernel, int64_t size,
                       fv_blur_border border) {
    double sum = 0.0;

    for (int64_t k = 0; k < size; k++) {
        int64_t j = at + k - size / 2;
        if (j < 0 || j >= a.n) {
            if (border == FV_BLUR_ZERO) continue;
            j = j < 0 ? 0 : a.n - 1;
        }
        sum += kernel[k] * x[j * a.step];
    }
    return sum;
}

fv_status fv_blur(const float *x, int64_t H, int64_t W, int64_t C, const double *kernel,
                  int64_t size, fv_blur_border border, float *y) {
    if (size < 1 || size % 2 == 0)
        return FV_FAIL(FV_ERR_CONFIG, "blur: a kernel of %" PRId64 " values", size);
    double *plane = fv_alloc(2 * (size_t)(H * W), sizeof *plane);
    if (!plane) return FV_ERR_NOMEM;
    double *rows = plane + H * W;
    for (int64_t c = 0; c < C; c++) {
        for (int64_t i = 0; i < H * W; i++) plane[i] = (double)x[i * C + c];
        for (int64_t h = 0; h < H; h++)
            for (int64_t w = 0; w < W; w++)
                rows[h * W + w] = weighted(plane + h * W, (axis){W, 1}, w, kernel, size, border);
        for (int64_t h = 0; h < H; h++)
            for (int64_t w = 0; w < W; w++)
                y[(h * W + w) * C + c] =
                    (float)weighted(rows + w, (axis){H, W}, h, kernel, size, border);
    }
    fv_free(plane);
    return FV_OK;
}
