/* pixels.c - what fovea makes of image files, for pixels.py to compare with Pillow.
 *
 *     fovea-pixels SIDE CROP_PCT INTERPOLATION EXIF FOLDER FILE...
 *
 * Writes FOLDER/<i>.decoded and .cropped (RGB8) and .input (float32, [SIDE,SIDE,3], ImageNet's mean and
 * deviation) for the i-th file, and prints "height width" of the decoded picture or "error: ...". */
#include "core/alloc.h"
#include "core/file.h"
#include "data/transform.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static fv_status write_part(const char *folder, int i, const char *part, const void *bytes,
                            int64_t n_bytes) {
    char path[4096];

    snprintf(path, sizeof path, "%s/%d.%s", folder, i, part);
    return fv_file_write(path, bytes, (size_t)n_bytes);
}

static fv_status run(const fv_preprocess *pre, const char *path, const char *folder, int i) {
    fv_resize_scratch scratch = {0};
    fv_image *image = NULL, cropped = {0};
    const int64_t n = 3 * pre->img_h * pre->img_w;
    float *input = fv_alloc((size_t)n, sizeof *input);
    int64_t height = 0, width = 0;

    fv_status status = input ? fv_preprocess_load(pre, path, &image) : FV_ERR_NOMEM;
    if (status != FV_OK) goto cleanup;
    height = image->height;
    width = image->width;
    status = write_part(folder, i, "decoded", image->pixels, 3 * height * width);
    if (status != FV_OK) goto cleanup;
    status = fv_transform_eval_image(pre, image, &scratch, &cropped);
    if (status != FV_OK) goto cleanup;
    status = write_part(folder, i, "cropped", cropped.pixels, n);
    if (status != FV_OK) goto cleanup;
    status = fv_transform_eval(pre, image, input);
    if (status == FV_OK) status = write_part(folder, i, "input", input, n * (int64_t)sizeof *input);
cleanup:
    fv_free(input);
    fv_image_release(&cropped);
    fv_image_destroy(image);
    fv_resize_scratch_free(&scratch);
    if (status == FV_OK)
        printf("%lld %lld\n", (long long)height, (long long)width);
    else
        printf("error: %s\n", fv_error_message());
    return status;
}

int main(int argc, char **argv) {
    fv_preprocess pre = {.mean = {0.485f, 0.456f, 0.406f}, .std = {0.229f, 0.224f, 0.225f}};

    if (argc < 7) {
        fprintf(stderr, "usage: fovea-pixels SIDE CROP_PCT INTERPOLATION EXIF FOLDER FILE...\n");
        return 2;
    }
    pre.img_h = pre.img_w = atoi(argv[1]);
    pre.crop_pct = atof(argv[2]);
    pre.exif_orientation = atoi(argv[4]);
    if (fv_interpolation_parse(argv[3], &pre.interpolation) != FV_OK ||
        fv_preprocess_check(&pre) != FV_OK) {
        fprintf(stderr, "%s\n", fv_error_message());
        return 2;
    }
    for (int i = 6; i < argc; i++) run(&pre, argv[i], argv[5], i - 6);
    return 0;
}
