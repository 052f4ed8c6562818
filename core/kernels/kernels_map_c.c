/* The kernels of convolutional networks in plain C: ReLU, and batch norm over rows of channels. */
#include "core/kernels/kernels.h"

static void relu(int64_t n, const float *x, float *y) {
    for (int64_t i = 0; i < n; i++) y[i] = x[i] <= 0.0f ? 0.0f : x[i];
}

static void relu_backward(int64_t n, const float *y, const float *dy, float *dx) {
    for (int64_t i = 0; i < n; i++) dx[i] = y[i] <= 0.0f ? 0.0f : dy[i];
}

static void column_sums(int64_t rows, int64_t n, int64_t ld, const float *x, float *sum) {
    for (int64_t r = 0; r < rows; r++, x += ld)
        for (int64_t i = 0; i < n; i++) sum[i] += x[i];
}

static void column_sums_bf16(int64_t rows, int64_t n, int64_t ld, const fv_bf16 *x, float *sum) {
    for (int64_t r = 0; r < rows; r++, x += ld)
        for (int64_t i = 0; i < n; i++) sum[i] += fv_bf16_to_f32(x[i]);
}

static void square_sums(int64_t rows, int64_t n, const float *x, const float *mean, float *sum) {
    for (int64_t r = 0; r < rows; r++, x += n)
        for (int64_t i = 0; i < n; i++) sum[i] += (x[i] - mean[i]) * (x[i] - mean[i]);
}

static void product_sums(int64_t rows, int64_t n, const float *x, const float *mean, const float *y,
                         float *product, float *sum) {
    for (int64_t r = 0; r < rows; r++, x += n, y += n)
        for (int64_t i = 0; i < n; i++) {
            product[i] += y[i] * (x[i] - mean[i]);
            sum[i] += y[i];
        }
}

static void normalize(int64_t rows, int64_t n, const float *x, const float *mean, const float *a,
                      const float *b, float *y) {
    for (int64_t r = 0; r < rows; r++, x += n, y += n)
        for (int64_t i = 0; i < n; i++) y[i] = (x[i] - mean[i]) * a[i] + b[i];
}

static void normalize_backward(int64_t rows, int64_t n, const float *x, const float *mean,
                               const float *dy, const float *a, const float *c, const float *b,
                               float *dx) {
    for (int64_t r = 0; r < rows; r++, x += n, dy += n, dx += n)
        for (int64_t i = 0; i < n; i++) dx[i] = a[i] * dy[i] + (c[i] * (x[i] - mean[i]) + b[i]);
}

void fv_kernels_init_map_c(fv_kernels *table) {
    table->relu = relu;
    table->relu_backward = relu_backward;
    table->column_sums = column_sums;
    table->column_sums_bf16 = column_sums_bf16;
    table->square_sums = square_sums;
    table->product_sums = product_sums;
    table->normalize = normalize;
    table->normalize_backward = normalize_backward;
}
