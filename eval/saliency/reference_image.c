#include "eval/saliency/reference_image.h"

#include <math.h>

#define RADIUS 5
#define SIGMA  5.0

static int64_t clamp(int64_t i, int64_t n) { return i < 0 ? 0 : i < n ? i : n - 1; }

/* Both passes of the separable kernel at once: 121 products per pixel, done once per image. */
static void blur(const float *image, int64_t H, int64_t W, float *out) {
    double kernel[2 * RADIUS + 1], sum = 0.0;

    for (int i = -RADIUS; i <= RADIUS; i++) {
        kernel[i + RADIUS] = exp(-0.5 * i * i / (SIGMA * SIGMA));
        sum += kernel[i + RADIUS];
    }
    for (int64_t y = 0; y < H; y++)
        for (int64_t x = 0; x < W; x++) {
            double mean[3] = {0.0, 0.0, 0.0};
            for (int dy = -RADIUS; dy <= RADIUS; dy++)
                for (int dx = -RADIUS; dx <= RADIUS; dx++) {
                    const float *p = image + 3 * (clamp(y + dy, H) * W + clamp(x + dx, W));
                    const double w = kernel[dy + RADIUS] * kernel[dx + RADIUS] / (sum * sum);
                    for (int c = 0; c < 3; c++) mean[c] += w * (double)p[c];
                }
            for (int c = 0; c < 3; c++) out[3 * (y * W + x) + c] = (float)mean[c];
        }
}

void fv_reference_image(fv_reference kind, const fv_model_input *input, const float *image,
                        int64_t H, int64_t W, float *out) {
    if (kind == FV_REFERENCE_BLUR) {
        blur(image, H, W, out);
        return;
    }
    for (int64_t i = 0; i < 3 * H * W; i++)
        out[i] = kind == FV_REFERENCE_BLACK ? -input->mean[i % 3] / input->std[i % 3] : 0.0f;
}
