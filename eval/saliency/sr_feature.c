/* sr_feature.c - relevance as an image that patches are taken of. */
#include "core/alloc.h"
#include "eval/saliency/sr_stages.h"

#include <math.h>
#include <string.h>

#define MAX_VALUES ((int64_t)1 << 40)

fv_status fv_sr_image_create(int64_t H, int64_t W, int64_t C, fv_sr_image *out) {
    *out = (fv_sr_image){0};
    if (H < 1 || W < 1 || C < 1 || H > MAX_VALUES / W || H * W > MAX_VALUES / C)
        return FV_FAIL(FV_ERR_SHAPE, "salient relevance: an image of %lld x %lld pixels",
                       (long long)H, (long long)W);
    float *data = fv_alloc((size_t)(H * W * C), sizeof *data);
    if (!data) return FV_ERR_NOMEM;
    *out = (fv_sr_image){H, W, C, data};
    return FV_OK;
}

void fv_sr_image_release(fv_sr_image *image) {
    fv_free(image->data);
    *image = (fv_sr_image){0};
}

void fv_sr_min_max(float *x, int64_t n, int64_t stride) {
    float low = INFINITY, high = -INFINITY;

    for (int64_t i = 0; i < n; i++) {
        low = fminf(low, x[i * stride]);
        high = fmaxf(high, x[i * stride]);
    }
    const double range = (double)high - (double)low;
    for (int64_t i = 0; i < n; i++) {
        float *v = x + i * stride;
        *v = range > 0.0 ? (float)(((double)*v - (double)low) / range) : 0.0f;
    }
}

void fv_sr_picture(const float *relevance, int64_t n, uint8_t *picture) {
    double low = INFINITY, high = 0.0;

    for (int64_t i = 0; i < n; i++) {
        const double a = fabs((double)relevance[i]);
        low = fmin(low, a);
        high = fmax(high, a);
    }
    for (int64_t i = 0; i < n; i++) {
        const double v = high > low ? (fabs((double)relevance[i]) - low) / (high - low) : 0.0;
        picture[i] = (uint8_t)floor(255.0 * v);
    }
}

/* The transfer function of IEC 61966-2-1, byte to light. */
static double linear_light(uint8_t byte) {
    const double v = byte / 255.0;
    return v <= 0.04045 ? v / 12.92 : pow((v + 0.055) / 1.055, 2.4);
}

static double lab_curve(double t) {
    const double d = 6.0 / 29.0;
    return t > d * d * d ? cbrt(t) : t / (3.0 * d * d) + 4.0 / 29.0;
}

void fv_sr_lab(const uint8_t *rgb, int64_t n, float *lab) {
    static const double xyz_of_rgb[3][3] = {{0.4124564, 0.3575761, 0.1804375},
                                            {0.2126729, 0.7151522, 0.0721750},
                                            {0.0193339, 0.1191920, 0.9503041}};
    static const double white[3] = {0.95047, 1.0, 1.08883}; /* D65 */
    double light[256], f[3];

    for (int i = 0; i < 256; i++) light[i] = linear_light((uint8_t)i);
    for (int64_t i = 0; i < n; i++) {
        const uint8_t *p = rgb + 3 * i;
        for (int k = 0; k < 3; k++) {
            const double *m = xyz_of_rgb[k];
            f[k] = lab_curve((m[0] * light[p[0]] + m[1] * light[p[1]] + m[2] * light[p[2]]) /
                             white[k]);
        }
        lab[3 * i] = (float)(116.0 * f[1] - 16.0);
        lab[3 * i + 1] = (float)(500.0 * (f[0] - f[1]));
        lab[3 * i + 2] = (float)(200.0 * (f[1] - f[2]));
    }
}

/* ---- the kinds: relevance [n,3] -> f [n,channels] before min-max ---- */

typedef fv_status feature_fn(const float *relevance, int64_t n, float *f);

/* A quarter of it: the largest sum overflows f32, and min-max takes the factor out again. */
static double channel_sum(const float *r) {
    return 0.25 * ((double)r[0] + (double)r[1] + (double)r[2]);
}

static fv_status make_abs(const float *relevance, int64_t n, float *f) {
    for (int64_t i = 0; i < n; i++) f[i] = (float)fabs(channel_sum(relevance + 3 * i));
    return FV_OK;
}

static fv_status make_pos(const float *relevance, int64_t n, float *f) {
    for (int64_t i = 0; i < n; i++) f[i] = (float)fmax(channel_sum(relevance + 3 * i), 0.0);
    return FV_OK;
}

static fv_status make_code(const float *relevance, int64_t n, float *f) {
    uint8_t *picture = fv_alloc((size_t)n, 3);

    if (!picture) return FV_ERR_NOMEM;
    fv_sr_picture(relevance, 3 * n, picture);
    fv_sr_lab(picture, n, f);
    fv_free(picture);
    return FV_OK;
}

static const struct {
    const char *name;
    int64_t channels;
    feature_fn *make;
} kinds[] = {[FV_SR_ABS] = {"abs", 1, make_abs},
             [FV_SR_CODE] = {"code", 3, make_code},
             [FV_SR_POS] = {"pos", 1, make_pos}};

#define N_KINDS (sizeof kinds / sizeof *kinds)

fv_status fv_sr_feature(fv_sr_feature_kind kind, const float *relevance, int64_t H, int64_t W,
                        fv_sr_image *out) {
    *out = (fv_sr_image){0};
    if ((size_t)kind >= N_KINDS)
        return FV_FAIL(FV_ERR_CONFIG, "salient relevance: unknown kind of feature image");
    FV_TRY(fv_sr_image_create(H, W, kinds[kind].channels, out));
    const fv_status status = kinds[kind].make(relevance, H * W, out->data);
    if (status != FV_OK) {
        fv_sr_image_release(out);
        return status;
    }
    for (int64_t c = 0; c < out->C; c++) fv_sr_min_max(out->data + c, H * W, out->C);
    return FV_OK;
}

const char *fv_sr_feature_name(fv_sr_feature_kind kind) {
    return (size_t)kind < N_KINDS ? kinds[kind].name : NULL;
}

fv_status fv_sr_feature_parse(const char *name, fv_sr_feature_kind *out) {
    for (size_t i = 0; i < N_KINDS; i++) {
        if (strcmp(name, kinds[i].name) == 0) {
            *out = (fv_sr_feature_kind)i;
            return FV_OK;
        }
    }
    return FV_FAIL(FV_ERR_CONFIG, "feature image '%s': expected abs, code or pos", name);
}
