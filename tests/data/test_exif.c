#include "data/exif.h"

#include "core/alloc.h"
#include "data/transform.h"
#include "tests/support/picture.h"

#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>

static char root[64];

static void enter(void) { test_folder_enter(root); }

static void leave(void) {
    fv_alloc_fail_at(0);
    test_folder_leave(root);
}

TestSuite(data_exif, .init = enter, .fini = leave);

#define EXIF_BYTES 54

/* FF D8, a comment, and an APP1 segment whose directory has another tag in front of the orientation. */
static void write_exif(uint8_t *out, bool big_endian, int value) {
    static const uint8_t little[] = {0xFF, 0xD8, 0xFF, 0xFE, 0,   4, 'h',  'i',  0xFF, 0xE1, 0,
                                     0x2C, 'E',  'x',  'i',  'f', 0, 0,    'I',  'I',  42,   0,
                                     8,    0,    0,    0,    2,   0, 0x0F, 1,    2,    0,    1,
                                     0,    0,    0,    'x',  0,   0, 0,    0x12, 1,    3,    0,
                                     1,    0,    0,    0,    0,   0, 0,    0,    0,    0};
    static const uint8_t big[] = {
        0xFF, 0xD8, 0xFF, 0xFE, 0, 4,    'h', 'i', 0xFF, 0xE1, 0, 0x2C, 'E', 'x', 'i', 'f', 0, 0,
        'M',  'M',  0,    42,   0, 0,    0,   8,   0,    2,    1, 0x0F, 0,   2,   0,   0,   0, 1,
        'x',  0,    0,    0,    1, 0x12, 0,   3,   0,    0,    0, 1,    0,   0,   0,   0,   0, 0};

    memcpy(out, big_endian ? big : little, EXIF_BYTES);
    out[big_endian ? 49 : 48] = (uint8_t)value;
}

Test(data_exif, reads_the_orientation_in_both_byte_orders) {
    uint8_t bytes[EXIF_BYTES];

    for (int big = 0; big < 2; big++)
        for (int value = 0; value < 12; value++) {
            write_exif(bytes, big, value);
            cr_expect_eq(fv_exif_orientation(bytes, EXIF_BYTES),
                         value >= 1 && value <= 8 ? value : 1, "%d", value);
        }
}

/* Whatever is cut off or changed, the answer is a number from 1 to 8. */
Test(data_exif, damaged_segments_say_nothing) {
    uint8_t bytes[EXIF_BYTES];

    for (size_t n = 0; n < EXIF_BYTES; n++) {
        uint8_t *copy = fv_alloc(n + 1, 1);
        cr_assert_not_null(copy);
        write_exif(bytes, false, 6);
        memcpy(copy, bytes, n);
        uint8_t *exact = fv_realloc(copy, n ? n : 1, 1);
        cr_expect_eq(fv_exif_orientation(exact, n), 1, "cut to %zu", n);
        fv_free(exact);
    }
    for (size_t at = 0; at < EXIF_BYTES; at++)
        for (int bit = 0; bit < 8; bit++) {
            write_exif(bytes, bit % 2, 6);
            bytes[at] ^= (uint8_t)(1 << bit);
            const int found = fv_exif_orientation(bytes, EXIF_BYTES);
            cr_expect(found >= 1 && found <= 8);
        }
    write_exif(bytes, false, 6);
    bytes[42] = 4; /* a long integer */
    cr_expect_eq(fv_exif_orientation(bytes, EXIF_BYTES), 1);
}

/* Stored rows abc, def, as each orientation shows them. */
Test(data_exif, turns_all_eight_ways) {
    static const char *const shown[] = {"abcdef", "cbafed", "fedcba", "defabc",
                                        "adbecf", "daebfc", "fcebda", "cfbead"};
    fv_image scratch = {0};

    for (int orientation = 1; orientation <= 8; orientation++) {
        fv_image *image = NULL;
        cr_assert_eq(fv_image_create(2, 3, &image), FV_OK);
        for (int i = 0; i < 18; i++) image->pixels[i] = (uint8_t)("abcdef"[i / 3] + 10 * (i % 3));
        cr_assert_eq(fv_image_orient(image, orientation, &scratch), FV_OK);
        cr_expect_eq(image->height, orientation < 5 ? 2 : 3);
        cr_expect_eq(image->width, orientation < 5 ? 3 : 2);
        for (int i = 0; i < 18; i++)
            cr_expect_eq(image->pixels[i], shown[orientation - 1][i / 3] + 10 * (i % 3),
                         "orientation %d, byte %d", orientation, i);
        fv_image_destroy(image);
    }
    fv_image_release(&scratch);
}

/* A JPEG with the segment behind its first marker. */
static void write_jpeg(const char *path, int orientation) {
    fv_image *image = test_pattern(8, 12);
    uint8_t *jpeg = NULL, file[4096];
    size_t n = 0;

    cr_assert_eq(fv_image_encode_jpeg(image, 90, &jpeg, &n), FV_OK);
    cr_assert(n + EXIF_BYTES <= sizeof file);
    write_exif(file, true, orientation);
    memcpy(file + EXIF_BYTES, jpeg + 2, n - 2);
    test_write(path, file, n - 2 + EXIF_BYTES);
    fv_free(jpeg);
    fv_image_destroy(image);
}

Test(data_exif, is_applied_when_preprocessing_asks_for_it) {
    fv_preprocess pre = {0};
    fv_image *stored = NULL, *shown = NULL, scratch = {0};
    char path[128];

    snprintf(path, sizeof path, "%s/turned.jpg", root);
    write_jpeg(path, 6);
    cr_assert_eq(fv_preprocess_load(&pre, path, &stored), FV_OK, "%s", fv_error_message());
    cr_expect(stored->height == 8 && stored->width == 12);
    pre.exif_orientation = true;
    cr_assert_eq(fv_preprocess_load(&pre, path, &shown), FV_OK, "%s", fv_error_message());
    cr_assert(shown->height == 12 && shown->width == 8);
    cr_assert_eq(fv_image_orient(stored, 6, &scratch), FV_OK);
    cr_expect_eq(memcmp(stored->pixels, shown->pixels, 12 * 8 * 3), 0);
    fv_image_destroy(shown);
    for (uint64_t n = 1; n < 20; n++) { /* every failing allocation */
        shown = NULL;
        fv_alloc_fail_at(n);
        const fv_status status = fv_preprocess_load(&pre, path, &shown);
        fv_alloc_fail_at(0);
        cr_expect(status == FV_OK ? n > 4 && shown : status == FV_ERR_NOMEM && !shown);
        fv_image_destroy(shown);
    }
    snprintf(path, sizeof path, "%s/absent.jpg", root);
    cr_expect_eq(fv_preprocess_load(&pre, path, &shown), FV_ERR_NOT_FOUND);
    cr_expect(strstr(fv_error_message(), "absent.jpg"));
    fv_image_destroy(stored);
    fv_image_release(&scratch);
}
