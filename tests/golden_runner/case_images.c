/* images.safetensors: decoding, PIL-exact resampling, crops and normalisation, byte for byte.  The
 * photographs lie in images/ beside the file, under the name in the metadata. */
#include "data/transform.h"
#include "tests/golden_runner/golden.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIDE 224

/* Largest difference in levels; exact means 0. */
static void compare_image(golden *g, const char *name, const fv_image *image) {
    fv_shape shape;
    const uint8_t *stored = golden_u8(g, name, &shape);
    int worst = 0;

    if (!stored) return;
    if (shape.rank != 3 || shape.dim[0] != image->height || shape.dim[1] != image->width ||
        shape.dim[2] != 3) {
        golden_fail(g, name, "another size");
        return;
    }
    for (int64_t i = 0; i < fv_shape_numel(&shape); i++) {
        const int d = abs((int)stored[i] - (int)image->pixels[i]);
        if (d > worst) worst = d;
    }
    golden_result(g, name, worst, 0.0);
}

static void check_normalized(golden *g, const char *key, const fv_preprocess *pre,
                             const fv_image *source) {
    const int64_t n = 3 * SIDE * SIDE;
    float *x = fv_arena_alloc(&g->arena, (size_t)n, sizeof *x);
    float *chw = fv_arena_alloc(&g->arena, (size_t)n, sizeof *chw);
    float mean[3], sample[64];

    if (!x || !chw || fv_transform_eval(pre, source, x) != FV_OK) {
        golden_fail(g, key, "%s", fv_error_message());
        return;
    }
    for (int c = 0; c < 3; c++) {
        double sum = 0.0;
        for (int64_t i = 0; i < SIDE * SIDE; i++) {
            chw[c * SIDE * SIDE + i] = x[3 * i + c];
            sum += (double)x[3 * i + c];
        }
        mean[c] = (float)(sum / (SIDE * SIDE));
    }
    for (int i = 0; i < 64; i++) sample[i] = chw[i * 2352];
    golden_compare(g, golden_text(g, "%s/normalized.mean", key), mean, 3, 0, 1e-5);
    golden_compare(g, golden_text(g, "%s/normalized.sample", key), sample, 64, 0, 1e-6);
}

/* Shorter side to `size`, centre crop 224. */
static void check_eval(golden *g, const char *key, const fv_image *source,
                       fv_interpolation interpolation, int size) {
    fv_preprocess pre = {.img_h = SIDE,
                         .img_w = SIDE,
                         .mean = {0.485f, 0.456f, 0.406f},
                         .std = {0.229f, 0.224f, 0.225f},
                         .interpolation = interpolation,
                         .crop_pct = size == 256 ? 224.0 / 256.0 : 0.9};
    fv_resize_scratch scratch = {0};
    fv_image out = {0};
    const char *name = golden_text(g, "%s/%s_%d", key, fv_interpolation_name(interpolation), size);

    if (fv_transform_eval_image(&pre, source, &scratch, &out) == FV_OK)
        compare_image(g, name, &out);
    else
        golden_fail(g, name, "%s", fv_error_message());
    if (size == 256 && interpolation == FV_INTERPOLATION_BICUBIC)
        check_normalized(g, key, &pre, source);
    fv_image_release(&out);
    fv_resize_scratch_free(&scratch);
}

static void check_crop(golden *g, const char *key, const fv_value *meta, const fv_image *source,
                       fv_interpolation interpolation) {
    const fv_value *box = fv_value_find(meta, "crop");
    const char *name = golden_text(g, "%s/crop_%s", key, fv_interpolation_name(interpolation));
    fv_resize_scratch scratch = {0};
    fv_image out = {0};

    if (!box || box->count != 4) {
        golden_fail(g, name, "no crop box in the metadata");
        return;
    }
    const fv_crop crop = {fv_value_at(box, 0)->integer, fv_value_at(box, 1)->integer,
                          fv_value_at(box, 2)->integer, fv_value_at(box, 3)->integer};
    const fv_resize_spec spec = {
        .crop = &crop, .height = SIDE, .width = SIDE, .interpolation = interpolation};
    if (fv_resize(source, &spec, &scratch, &out) == FV_OK)
        compare_image(g, name, &out);
    else
        golden_fail(g, name, "%s", fv_error_message());
    fv_image_release(&out);
    fv_resize_scratch_free(&scratch);
}

static void check_photo(golden *g, const char *key, const fv_value *meta) {
    const fv_value *file = fv_value_find(meta, "file");
    const char *slash = strrchr(g->path, '/');
    const int folder = slash ? (int)(slash - g->path + 1) : 0;
    fv_image *decoded = NULL;

    if (!file || file->kind != FV_VALUE_STRING) {
        golden_fail(g, key, "no file name in the metadata");
        return;
    }
    if (fv_image_load(golden_text(g, "%.*simages/%s", folder, g->path, file->text), &decoded) !=
        FV_OK) {
        golden_fail(g, key, "%s", fv_error_message());
        return;
    }
    compare_image(g, golden_text(g, "%s/decoded", key), decoded);
    for (int i = 0; i < 2; i++) {
        const fv_interpolation interpolation =
            i ? FV_INTERPOLATION_BILINEAR : FV_INTERPOLATION_BICUBIC;
        check_eval(g, key, decoded, interpolation, 256);
        check_eval(g, key, decoded, interpolation, 248);
        check_crop(g, key, meta, decoded, interpolation);
    }
    fv_image_destroy(decoded);
}

static void run(golden *g) {
    const fv_value *map = fv_safetensors_metadata_map(g->file);

    for (const fv_value *v = map ? map->first : NULL; v; v = v->next) {
        const fv_value *meta = golden_meta(g, v->key);
        if (meta && meta->kind == FV_VALUE_MAP && fv_value_find(meta, "width"))
            check_photo(g, v->key, meta);
    }
}

const golden_kind golden_kind_images = {.prefix = "images", .exact = true, .run = run};
