#include "tests/support/picture.h"

#include "core/alloc.h"
#include "core/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void must(fv_status status) {
    if (status == FV_OK) return;
    fprintf(stderr, "test set-up: %s\n", fv_error_message());
    abort();
}

fv_image *test_pattern(int64_t height, int64_t width) {
    fv_image *image = NULL;

    must(fv_image_create(height, width, &image));
    for (int64_t i = 0; i < height * width * 3; i++) {
        const int64_t y = i / 3 / width, x = i / 3 % width, c = i % 3;
        const uint32_t noise = (uint32_t)((uint64_t)i * 2654435761u) >> 24;
        image->pixels[i] = (uint8_t)(x * 5 + y * 3 + c * 40 + noise / 4);
    }
    return image;
}

uint64_t test_fnv(const void *bytes, size_t n_bytes) {
    const uint8_t *p = bytes;
    uint64_t h = 0xCBF29CE484222325u;

    for (size_t i = 0; i < n_bytes; i++) h = (h ^ p[i]) * 0x100000001B3u;
    return h;
}

void test_write(const char *path, const void *bytes, size_t n_bytes) {
    char folder[512];

    snprintf(folder, sizeof folder, "%s", path);
    char *slash = strrchr(folder, '/');
    if (slash) {
        *slash = 0;
        must(fv_folder_create(folder));
    }
    must(fv_file_write(path, bytes, n_bytes));
}

void test_write_picture(const char *path, int64_t height, int64_t width, uint8_t level) {
    fv_image *image = NULL;
    uint8_t *bytes = NULL;
    size_t n_bytes = 0;
    const char *dot = strrchr(path, '.');
    const int jpeg = dot && (strcmp(dot, ".jpg") == 0 || strcmp(dot, ".JPEG") == 0);

    must(fv_image_create(height, width, &image));
    memset(image->pixels, level, (size_t)(height * width * 3));
    must(jpeg ? fv_image_encode_jpeg(image, 90, &bytes, &n_bytes)
              : fv_image_encode_png(image, &bytes, &n_bytes));
    test_write(path, bytes, n_bytes);
    fv_free(bytes);
    fv_image_destroy(image);
}

void test_folder_enter(char root[64]) {
    strcpy(root, "/tmp/fovea_test_XXXXXX");
    if (!mkdtemp(root)) abort();
}

void test_folder_leave(const char *root) { must(fv_folder_remove(root)); }
