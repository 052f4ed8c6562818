/* transform_eval.c - the evaluation pipeline: resize, centre crop, normalise. */
#include "data/transform.h"

#include <math.h>

/* round(d / 2), halves to even, d >= 0 */
static int64_t half_even(int64_t d) {
    const int64_t k = d / 2;
    return d % 2 == 0 ? k : k + k % 2;
}

static int64_t max_i64(int64_t a, int64_t b) { return a > b ? a : b; }

/* The size the whole image is resampled to, and the window of it that is the input. */
static fv_status layout(const fv_preprocess *pre, int64_t height, int64_t width, int64_t *full_h,
                        int64_t *full_w, fv_crop *window) {
    FV_TRY(fv_preprocess_check(pre));
    if (height < 1 || width < 1)
        return FV_FAIL(FV_ERR_SHAPE, "image of %lld x %lld pixels", (long long)width,
                       (long long)height);
    const int64_t target_h = (int64_t)floor((double)pre->img_h / pre->crop_pct);
    const int64_t target_w = (int64_t)floor((double)pre->img_w / pre->crop_pct);
    if (target_h == target_w) { /* torchvision's Resize of the shorter side */
        const int64_t s = target_h;
        *full_h = height <= width ? s : s * height / width;
        *full_w = height <= width ? s * width / height : s;
    } else { /* timm's ResizeKeepRatio: the smallest picture that covers the target */
        const double ratio_h = (double)height / (double)target_h;
        const double ratio_w = (double)width / (double)target_w;
        const double ratio = ratio_h < ratio_w ? ratio_h : ratio_w;
        *full_h = max_i64((int64_t)rint((double)height / ratio), target_h);
        *full_w = max_i64((int64_t)rint((double)width / ratio), target_w);
    }
    *window = (fv_crop){.top = half_even(*full_h - pre->img_h),
                        .left = half_even(*full_w - pre->img_w),
                        .height = pre->img_h,
                        .width = pre->img_w};
    return FV_OK;
}

fv_status fv_transform_eval_image(const fv_preprocess *pre, const fv_image *image,
                                  fv_resize_scratch *scratch, fv_image *out) {
    fv_resize_spec spec = {.interpolation = pre->interpolation};
    fv_crop window;

    FV_TRY(layout(pre, image->height, image->width, &spec.height, &spec.width, &window));
    spec.window = &window;
    return fv_resize(image, &spec, scratch, out);
}

fv_status fv_transform_eval_view(const fv_preprocess *pre, int64_t height, int64_t width,
                                 fv_view *out) {
    int64_t full_h = 0, full_w = 0;
    fv_crop window;

    *out = (fv_view){0};
    FV_TRY(layout(pre, height, width, &full_h, &full_w, &window));
    const double y = (double)height / (double)full_h, x = (double)width / (double)full_w;
    *out = (fv_view){.top = (double)window.top * y,
                     .left = (double)window.left * x,
                     .height = (double)window.height * y,
                     .width = (double)window.width * x};
    return FV_OK;
}

fv_status fv_transform_eval_with(const fv_preprocess *pre, const fv_image *image, fv_workspace *ws,
                                 float *out) {
    FV_TRY(fv_transform_eval_image(pre, image, &ws->resize, &ws->image));
    fv_normalize(pre, &ws->image, out);
    return FV_OK;
}

fv_status fv_transform_eval(const fv_preprocess *pre, const fv_image *image, float *out) {
    fv_workspace ws = {0};
    const fv_status status = fv_transform_eval_with(pre, image, &ws, out);
    fv_workspace_free(&ws);
    return status;
}
