/* The kernels of convolutional networks in plain C: ReLU, and batch norm over rows of channels. */
#include "core/kernels/kernels.h"
#include "core/kernels/kernels_c.h"

static void relu(int64_t n, const float *x, float *y) {
    for (int64_t i = 0; i < n; i++) y[i] = x[i] <= 0.0f ? 0.0f : x[i];
}

static void relu_backward(int64_t n, const float *y, const float *dy, float *dx) {
    for (int64_t i = 0; i < n; i++) dx[i] = y[i] <= 0.0f ? 0.0f : dy[i];
}

static void column_sums(int64_t rows, int64_t n, int64_t ld, const void *x, fv_dtype type,
                        float *sum) {
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < n; i++) sum[i] += load_as(type, x, r * ld + i);
}

static void square_sums(int64_t rows, int64_t n, const void *x, fv_dtype type, const float *mean,
                        float *sum) {
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < n; i++) {
            const float d = load_as(type, x, r * n + i) - mean[i];
            sum[i] += d * d;
        }
}

static void product_sums(int64_t rows, int64_t n, const void *x, fv_dtype x_type, const float *mean,
                         const void *y, fv_dtype y_type, float *product, float *sum) {
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < n; i++) {
            const float v = load_as(y_type, y, r * n + i);
            product[i] += v * (load_as(x_type, x, r * n + i) - mean[i]);
            sum[i] += v;
        }
}

static void normalize(int64_t rows, int64_t n, const void *x, fv_dtype x_type, const float *mean,
                      const float *a, const float *b, void *y, fv_dtype y_type) {
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < n; i++) {
            const float d = load_as(x_type, x, r * n + i) - mean[i];
            store_as(y_type, y, r * n + i, d * a[i] + b[i]);
        }
}

static void normalize_backward(int64_t rows, int64_t n, const void *x, fv_dtype x_type,
                               const float *mean, const void *dy, fv_dtype dy_type, const float *a,
                               const float *c, const float *b, void *dx, fv_dtype dx_type) {
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < n; i++) {
            const float rest = c[i] * (load_as(x_type, x, r * n + i) - mean[i]) + b[i];
            store_as(dx_type, dx, r * n + i, a[i] * load_as(dy_type, dy, r * n + i) + rest);
        }
}

void fv_kernels_init_map_c(fv_kernels *table) {
    table->relu = relu;
    table->relu_backward = relu_backward;
    table->column_sums = column_sums;
    table->square_sums = square_sums;
    table->product_sums = product_sums;
    table->normalize = normalize;
    table->normalize_backward = normalize_backward;
}
