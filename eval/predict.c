#include "eval/predict.h"

#include "core/alloc.h"

#include <math.h>
#include <string.h>

fv_status fv_predict_pixels(fv_tape *tape, const fv_model *model, bool bf16, const float *pixels,
                            float *logits) {
    const fv_tensor x = {
        (void *)(uintptr_t)pixels, FV_F32,
        fv_shape_of(4, (int64_t)1, model->input.height, model->input.width, (int64_t)3)};

    fv_tape_begin(tape, &(fv_step){.mode = FV_INFER, .bf16 = bf16, .samples = 1});
    const fv_var *y = fv_keep(fv_model_forward(model, fv_input(tape, &x, false)));
    FV_TRY(fv_tape_status(tape));
    memcpy(logits, y->data, (size_t)model->num_classes * sizeof *logits);
    return FV_OK;
}

fv_status fv_predict_file(fv_tape *tape, const fv_model *model, const fv_preprocess *preprocess,
                          bool bf16, const char *path, float *logits) {
    fv_image *image = NULL;
    float *pixels = NULL;

    if (preprocess->img_h != model->input.height || preprocess->img_w != model->input.width)
        return FV_FAIL(FV_ERR_CONFIG,
                       "images of %lld x %lld pixels for the model %s of %lld x %lld",
                       (long long)preprocess->img_h, (long long)preprocess->img_w, model->name,
                       (long long)model->input.height, (long long)model->input.width);
    fv_status status = fv_preprocess_load(preprocess, path, &image);
    if (status != FV_OK) goto cleanup;
    pixels = fv_alloc((size_t)(preprocess->img_h * preprocess->img_w), 3 * sizeof *pixels);
    if (!pixels) {
        status = FV_ERR_NOMEM;
        goto cleanup;
    }
    status = fv_transform_eval(preprocess, image, pixels);
    if (status != FV_OK) status = fv_error_context(status, "%s", path);
    if (status == FV_OK) status = fv_predict_pixels(tape, model, bf16, pixels, logits);
cleanup:
    fv_free(pixels);
    fv_image_destroy(image);
    return status;
}

/* Is class a ahead of class b? */
static bool ahead(const float *logits, int64_t a, int64_t b) {
    if (isnan(logits[a]) || isnan(logits[b]))
        return isnan(logits[a]) && (!isnan(logits[b]) || a < b);
    return logits[a] > logits[b] || (logits[a] == logits[b] && a < b);
}

double fv_class_probability(const float *logits, int64_t n_classes, int64_t k) {
    double largest = (double)logits[0], sum = 0.0;

    for (int64_t i = 1; i < n_classes; i++) largest = fmax(largest, (double)logits[i]);
    for (int64_t i = 0; i < n_classes; i++) sum += exp((double)logits[i] - largest);
    return exp((double)logits[k] - largest) / sum;
}

int64_t fv_predict_top(const float *logits, int64_t n_classes, int64_t k, fv_prediction *top) {
    const int64_t n = k < n_classes ? k : n_classes;
    double sum = 0.0;

    for (int64_t place = 0; place < n; place++) { /* the first one behind the last place's */
        int64_t best = -1;
        for (int64_t c = 0; c < n_classes; c++) {
            const bool taken = place > 0 && !ahead(logits, top[place - 1].index, c);
            if (!taken && (best < 0 || ahead(logits, c, best))) best = c;
        }
        top[place].index = best;
    }
    if (n < 1) return 0;
    const double shift = (double)logits[top[0].index];
    for (int64_t c = 0; c < n_classes; c++) sum += exp((double)logits[c] - shift);
    for (int64_t i = 0; i < n; i++)
        top[i].probability = exp((double)logits[top[i].index] - shift) / sum;
    return n;
}
