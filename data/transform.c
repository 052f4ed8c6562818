#include "data/transform.h"

#include "data/exif.h"
#include "data/sample.h"
#include "data/transform_list.h"

#include <math.h>
#include <string.h>

#define MAX_RECTANGLES 256

#define FV_X(name) &fv_transform_##name,
static const fv_transform *const transforms[] = {FV_TRANSFORM_LIST(FV_X)};
#undef FV_X

void fv_augment_init(fv_augment *augment) {
    *augment = (fv_augment){.scale = {0.08, 1.0},
                            .ratio = {3.0 / 4.0, 4.0 / 3.0},
                            .hflip = 0.5,
                            .interpolation = FV_INTERPOLATION_RANDOM,
                            .color_jitter_prob = 1.0,
                            .recount = 1};
}

fv_status fv_erase_mode_parse(const char *name, fv_erase_mode *out) {
    static const char *const names[] = {"pixel", "rand", "const"};

    for (int i = 0; i < 3; i++) {
        *out = (fv_erase_mode)i;
        if (strcmp(name, names[i]) == 0) return FV_OK;
    }
    return FV_FAIL(FV_ERR_CONFIG, "remode '%s' is not one of: pixel rand const", name);
}

/* Comparisons are written so that NaN fails them. */
fv_status fv_preprocess_check(const fv_preprocess *pre) {
    if (pre->img_h < 1 || pre->img_w < 1 || pre->img_h > 65536 || pre->img_w > 65536)
        return FV_FAIL(FV_ERR_CONFIG, "image size %lld x %lld is outside 1..65536",
                       (long long)pre->img_h, (long long)pre->img_w);
    if (!(pre->crop_pct > 0.0 && pre->crop_pct <= 1.0))
        return FV_FAIL(FV_ERR_CONFIG, "crop_pct %g is outside (0, 1]", pre->crop_pct);
    if (pre->interpolation == FV_INTERPOLATION_RANDOM)
        return FV_FAIL(FV_ERR_CONFIG, "evaluation needs bicubic or bilinear interpolation");
    for (int c = 0; c < 3; c++)
        if (!isfinite(pre->mean[c]) || !(pre->std[c] > 0.0f) || !isfinite(pre->std[c]))
            return FV_FAIL(FV_ERR_CONFIG, "mean %g or std %g of channel %d", (double)pre->mean[c],
                           (double)pre->std[c], c);
    return FV_OK;
}

fv_status fv_preprocess_decode(const fv_preprocess *pre, const uint8_t *bytes, size_t n_bytes,
                               fv_image *scratch, fv_image *image) {
    FV_TRY(fv_image_decode_into(bytes, n_bytes, image));
    if (!pre->exif_orientation) return FV_OK;
    return fv_image_orient(image, fv_exif_orientation(bytes, n_bytes), scratch);
}

fv_status fv_preprocess_load(const fv_preprocess *pre, const char *path, fv_image **out) {
    return fv_sample_load(&(fv_sample){.path = path}, pre, out);
}

static fv_status check_probability(const char *name, double p) {
    if (p >= 0.0 && p <= 1.0) return FV_OK;
    return FV_FAIL(FV_ERR_CONFIG, "%s %g is not a probability", name, p);
}

fv_status fv_augment_check(const fv_augment *augment) {
    const double *s = augment->scale, *r = augment->ratio;

    if (!(s[0] > 0.0 && s[0] <= s[1] && s[1] <= 1.0))
        return FV_FAIL(FV_ERR_CONFIG, "crop scale [%g, %g]: expected 0 < low <= high <= 1", s[0],
                       s[1]);
    if (!(r[0] > 0.0 && r[0] <= r[1] && isfinite(r[1])))
        return FV_FAIL(FV_ERR_CONFIG, "crop ratio [%g, %g]: expected 0 < low <= high", r[0], r[1]);
    FV_TRY(check_probability("hflip", augment->hflip));
    FV_TRY(check_probability("vflip", augment->vflip));
    FV_TRY(check_probability("color_jitter_prob", augment->color_jitter_prob));
    FV_TRY(check_probability("grayscale_prob", augment->grayscale_prob));
    FV_TRY(check_probability("reprob", augment->reprob));
    if (!(augment->color_jitter >= 0.0 && isfinite(augment->color_jitter)))
        return FV_FAIL(FV_ERR_CONFIG, "color_jitter %g: expected a number from 0",
                       augment->color_jitter);
    if (augment->reprob > 0.0 && (augment->recount < 1 || augment->recount > MAX_RECTANGLES))
        return FV_FAIL(FV_ERR_CONFIG, "recount %lld is outside 1..%d", (long long)augment->recount,
                       MAX_RECTANGLES);
    return FV_OK;
}

void fv_workspace_free(fv_workspace *ws) {
    fv_image_release(&ws->image);
    fv_resize_scratch_free(&ws->resize);
    fv_buffer_free(&ws->copy);
}

void fv_normalize(const fv_preprocess *pre, const fv_image *image, float *out) {
    float table[3][256];

    for (int c = 0; c < 3; c++)
        for (int v = 0; v < 256; v++)
            table[c][v] = ((float)v / 255.0f - pre->mean[c]) / pre->std[c];
    const int64_t n = image->height * image->width;
    const uint8_t *p = image->pixels;
    for (int64_t i = 0; i < n; i++, p += 3, out += 3) {
        out[0] = table[0][p[0]];
        out[1] = table[1][p[1]];
        out[2] = table[2][p[2]];
    }
}

fv_status fv_transform_train_with(const fv_preprocess *pre, const fv_augment *augment,
                                  fv_rng_key key, const fv_image *image, fv_workspace *ws,
                                  float *out) {
    fv_transform_state state = {.pre = pre,
                                .augment = augment,
                                .key = key,
                                .source = image,
                                .image = &ws->image,
                                .scratch = &ws->resize,
                                .copy = &ws->copy,
                                .values = out};

    FV_TRY(fv_preprocess_check(pre));
    FV_TRY(fv_augment_check(augment));
    for (size_t i = 0; i < sizeof transforms / sizeof *transforms; i++) {
        state.key.layer = fv_rng_name(transforms[i]->name);
        if (transforms[i]->apply) FV_TRY(transforms[i]->apply(&state));
    }
    fv_normalize(pre, &ws->image, out);
    for (size_t i = 0; i < sizeof transforms / sizeof *transforms; i++) {
        state.key.layer = fv_rng_name(transforms[i]->name);
        if (transforms[i]->finish) FV_TRY(transforms[i]->finish(&state));
    }
    return FV_OK;
}

fv_status fv_transform_train(const fv_preprocess *pre, const fv_augment *augment, fv_rng_key key,
                             const fv_image *image, float *out) {
    fv_workspace ws = {0};
    const fv_status status = fv_transform_train_with(pre, augment, key, image, &ws, out);
    fv_workspace_free(&ws);
    return status;
}
