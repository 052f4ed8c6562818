#include "eval/saliency/ground_truth.h"

#include <math.h>
#include <string.h>

/* Whether a point of the source image is inside. */
typedef struct object {
    const fv_image *mask; /* NULL: boxes */
    const fv_sample *sample;
} object;

static bool is_inside(const object *o, double y, double x) {
    if (o->mask) {
        const int64_t i = (int64_t)floor(y), j = (int64_t)floor(x);
        if (i < 0 || j < 0 || i >= o->mask->height || j >= o->mask->width) return false;
        return o->mask->pixels[3 * (i * o->mask->width + j)] != 0;
    }
    for (int64_t b = 0; b < o->sample->n_boxes; b++) {
        const fv_box *box = &o->sample->boxes[b];
        if (y >= (double)box->top && y < (double)box->bottom && x >= (double)box->left &&
            x < (double)box->right)
            return true;
    }
    return false;
}

static fv_status look(const object *o, const fv_preprocess *pre, int64_t height, int64_t width,
                      uint8_t *mask, bool *known) {
    fv_view view;

    FV_TRY(fv_transform_eval_view(pre, height, width, &view));
    for (int64_t i = 0; i < pre->img_h; i++)
        for (int64_t j = 0; j < pre->img_w; j++) {
            const double y = view.top + ((double)i + 0.5) * view.height / (double)pre->img_h;
            const double x = view.left + ((double)j + 0.5) * view.width / (double)pre->img_w;
            if (!is_inside(o, y, x)) continue;
            mask[i * pre->img_w + j] = 255;
            *known = true;
        }
    return FV_OK;
}

fv_status fv_ground_truth_mask(const char *path, const fv_preprocess *pre, int64_t height,
                               int64_t width, uint8_t *mask, bool *known) {
    fv_image *picture = NULL;

    *known = false;
    memset(mask, 0, (size_t)(pre->img_h * pre->img_w));
    if (!path) return FV_OK;
    FV_TRY(fv_image_load(path, &picture));
    fv_status status = FV_OK;
    if (picture->height != height || picture->width != width)
        status = FV_FAIL(FV_ERR_FORMAT, "%s: a mask of %lldx%lld for an image of %lldx%lld", path,
                         (long long)picture->height, (long long)picture->width, (long long)height,
                         (long long)width);
    if (status == FV_OK) status = look(&(object){.mask = picture}, pre, height, width, mask, known);
    fv_image_destroy(picture);
    return status;
}

fv_status fv_ground_truth(const fv_sample *sample, const fv_preprocess *pre, int64_t height,
                          int64_t width, uint8_t *mask, bool *known) {
    if (sample->mask) return fv_ground_truth_mask(sample->mask, pre, height, width, mask, known);
    *known = false;
    memset(mask, 0, (size_t)(pre->img_h * pre->img_w));
    if (sample->n_boxes == 0) return FV_OK;
    return look(&(object){.sample = sample}, pre, height, width, mask, known);
}
