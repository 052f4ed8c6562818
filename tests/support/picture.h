/* picture.h - image files and folders that tests make for themselves. */
#ifndef FV_TESTS_SUPPORT_PICTURE_H
#define FV_TESTS_SUPPORT_PICTURE_H

#include "data/image.h"

/* v(y, x, c) = (5x + 3y + 40c + noise / 4) mod 256 with noise the upper byte of 2654435761 i,
 * i = 3 (y width + x) + c: ramps with hard edges and grain.  Aborts when memory runs out. */
fv_image *test_pattern(int64_t height, int64_t width);

uint64_t test_fnv(const void *bytes, size_t n_bytes); /* FNV-1a, 64 bits */

/* Writes bytes, making folders on the way; aborts on failure. */
void test_write(const char *path, const void *bytes, size_t n_bytes);

/* Writes a picture of one colour: JPEG if the path ends in .jpg or .JPEG, else PNG. */
void test_write_picture(const char *path, int64_t height, int64_t width, uint8_t level);

/* mkdtemp below /tmp into root[64], and its removal. */
void test_folder_enter(char root[64]);
void test_folder_leave(const char *root);

#endif
