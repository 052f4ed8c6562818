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

static float centred(const fv_norm_rows *in, int64_t r, int64_t i) {
    return load_as(in->type, in->x, r * in->n + i) - in->mean[i];
}

static float affine(const fv_norm_rows *in, int64_t i, float e) { return e * in->a[i] + in->b[i]; }

/* dy where ReLU behind batch norm lets it pass */
static float gated(const fv_norm_rows *in, int64_t i, float e, float dy) {
    return in->relu && affine(in, i, e) <= 0.0f ? 0.0f : dy;
}

static void product_sums(const fv_norm_rows *in, const void *dy, fv_dtype dy_type, float *product,
                         float *sum) {
    for (int64_t r = 0; r < in->rows; r++)
        for (int64_t i = 0; i < in->n; i++) {
            const float e = centred(in, r, i);
            const float g = gated(in, i, e, load_as(dy_type, dy, r * in->n + i));
            product[i] += g * e;
            sum[i] += g;
        }
}

static void normalize(const fv_norm_rows *in, void *y, fv_dtype y_type) {
    for (int64_t r = 0; r < in->rows; r++)
        for (int64_t i = 0; i < in->n; i++) {
            const float z = affine(in, i, centred(in, r, i));
            store_as(y_type, y, r * in->n + i, in->relu && z <= 0.0f ? 0.0f : z);
        }
}

static void normalize_backward(const fv_norm_rows *in, const void *dy, fv_dtype dy_type,
                               const float *c, const float *d, void *dx, fv_dtype dx_type) {
    for (int64_t r = 0; r < in->rows; r++)
        for (int64_t i = 0; i < in->n; i++) {
            const float e = centred(in, r, i);
            const float g = gated(in, i, e, load_as(dy_type, dy, r * in->n + i));
            store_as(dx_type, dx, r * in->n + i, in->a[i] * g + (c[i] * e + d[i]));
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
