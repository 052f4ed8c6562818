#include "data/image.h"

#include "core/alloc.h"
#include "core/file.h"
#include "tests/golden/images_generated.h"
#include "tests/support/picture.h"

#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define N_FILES (sizeof generated_files / sizeof *generated_files)

static char root[64], path[128];

static void enter(void) { test_folder_enter(root); }

static void leave(void) {
    fv_alloc_fail_at(0);
    test_folder_leave(root);
}

TestSuite(data_image, .init = enter, .fini = leave);

static const char *in_root(const char *name) {
    snprintf(path, sizeof path, "%s/%s", root, name);
    return path;
}

static size_t find_file(const char *name) {
    size_t i = 0;
    while (i < N_FILES && strcmp(generated_files[i].name, name) != 0) i++;
    cr_assert_lt(i, N_FILES, "%s", name);
    return i;
}

Test(data_image, decodes_every_kind_as_pillow_does) {
    for (size_t i = 0; i < N_FILES; i++) {
        fv_image *image = NULL;
        cr_assert_eq(fv_image_decode(generated_files[i].bytes, generated_files[i].n_bytes, &image),
                     FV_OK, "%s: %s", generated_files[i].name, fv_error_message());
        cr_expect_eq(image->height, generated_files[i].height, "%s", generated_files[i].name);
        cr_expect_eq(image->width, generated_files[i].width, "%s", generated_files[i].name);
        cr_expect_eq(test_fnv(image->pixels, (size_t)(image->height * image->width * 3)),
                     generated_files[i].fnv, "%s: other pixels than Pillow's",
                     generated_files[i].name);
        fv_image_destroy(image);
    }
}

Test(data_image, probes_size_and_format) {
    for (size_t i = 0; i < N_FILES; i++) {
        fv_image_header header;
        cr_assert_eq(fv_image_probe(generated_files[i].bytes, generated_files[i].n_bytes, &header),
                     FV_OK);
        cr_expect(header.height == generated_files[i].height &&
                  header.width == generated_files[i].width);
        cr_expect_eq(strncmp(header.format, generated_files[i].name, strlen(header.format)), 0);
    }
}

/* A copy of exactly n bytes, so that the address sanitizer sees any read behind the end. */
static fv_status decode_copy(const uint8_t *bytes, size_t n, fv_image **image) {
    uint8_t *copy = fv_alloc(n, 1);
    cr_assert_not_null(copy);
    memcpy(copy, bytes, n);
    const fv_status status = fv_image_decode(copy, n, image);
    fv_free(copy);
    return status;
}

/* Bytes behind the last pixel that nothing depends on: padding, end marks, the last line feed and, in
 * text, digits of the last number. */
static size_t dispensable(const char *name) {
    static const struct {
        const char *prefix;
        size_t n;
    } known[] = {{"bmp", 3}, {"gif", 2}, {"pnm_1", 1}, {"pnm_2", 2}, {"pnm_3", 3}};

    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strncmp(name, known[i].prefix, strlen(known[i].prefix)) == 0) return known[i].n;
    return 0;
}

Test(data_image, every_truncation_is_a_format_error) {
    for (size_t i = 0; i < N_FILES; i++) {
        /* A JPEG without its end marker alone has lost no pixel, but is truncated all the same. */
        for (size_t n = 0; n < generated_files[i].n_bytes; n++) {
            fv_image *image = NULL;
            const fv_status status = decode_copy(generated_files[i].bytes, n, &image);
            if (status == FV_OK &&
                n >= generated_files[i].n_bytes - dispensable(generated_files[i].name)) {
                fv_image_destroy(image);
                continue;
            }
            cr_assert_eq(status, FV_ERR_FORMAT, "%s cut to %zu of %zu bytes: status %d",
                         generated_files[i].name, n, generated_files[i].n_bytes, status);
            cr_assert_null(image);
            cr_assert(strlen(fv_error_message()) > 0);
        }
    }
}

Test(data_image, no_flipped_byte_crashes) {
    for (size_t i = 0; i < N_FILES; i++) {
        uint8_t *copy = fv_alloc(generated_files[i].n_bytes, 1);
        cr_assert_not_null(copy);
        for (size_t n = 0; n < generated_files[i].n_bytes; n++) {
            fv_image_header header = {0};
            fv_image *image = NULL;
            memcpy(copy, generated_files[i].bytes, generated_files[i].n_bytes);
            copy[n] ^= (uint8_t)(1u << n % 8) | 0x40;
            /* Flips in the size may ask for a large picture: valid, only slow. */
            if (fv_image_probe(copy, generated_files[i].n_bytes, &header) == FV_OK &&
                header.height * header.width > 4000000)
                continue;
            const fv_status status = fv_image_decode(copy, generated_files[i].n_bytes, &image);
            cr_expect((status == FV_OK) == (image != NULL));
            fv_image_destroy(image);
        }
        fv_free(copy);
    }
}

Test(data_image, corrupt_png_data_is_found) {
    const size_t i = find_file("png_interlaced"), n = generated_files[i].n_bytes;
    const uint8_t *bytes = generated_files[i].bytes;
    uint8_t copy[4096];
    fv_image *image = NULL;

    cr_assert(n <= sizeof copy);
    memcpy(copy, bytes, n);
    copy[n - 40] ^= 1; /* inside the compressed pixels: its checksum is wrong now */
    cr_assert_eq(fv_image_decode(copy, n, &image), FV_ERR_FORMAT);
    cr_assert(strstr(fv_error_message(), "PNG"));
}

Test(data_image, harmless_bytes_in_a_jpeg_are_let_through) {
    const uint8_t *bytes = generated_files[0].bytes;
    const size_t n = generated_files[0].n_bytes;
    uint8_t copy[8192] = {0};
    fv_image *image = NULL;

    cr_assert(n + 8 <= sizeof copy);
    memcpy(copy, bytes, n - 2); /* three zero bytes in front of the end marker */
    memcpy(copy + n + 1, bytes + n - 2, 2);
    cr_assert_eq(fv_image_decode(copy, n + 3, &image), FV_OK, "%s", fv_error_message());
    cr_expect_eq(test_fnv(image->pixels, 17 * 21 * 3), generated_files[0].fnv);
    fv_image_destroy(image);
    /* The same without the end marker is a truncated file. */
    cr_assert_eq(fv_image_decode(copy, n + 1, &image), FV_ERR_FORMAT);
}

Test(data_image, refuses_other_content_by_name) {
    static const struct {
        const char *bytes;
        size_t n;
        fv_status status;
        const char *word;
    } cases[] = {
        {"", 0, FV_ERR_FORMAT, "empty"},
        {"x", 1, FV_ERR_FORMAT, "no image"},
        {"hello, this is no picture", 25, FV_ERR_FORMAT, "jpeg png bmp gif pnm psd tga"},
        {"GIF89a\1\0\1\0", 10, FV_ERR_FORMAT, "GIF"},
        {"BM\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16, FV_ERR_FORMAT, "BMP"},
        {"RIFF\0\0\0\0WEBPVP8 ", 16, FV_ERR_UNSUPPORTED, "WebP image; formats that are read: jpeg"},
        {"II*\0\10\0\0\0", 8, FV_ERR_UNSUPPORTED, "TIFF"},
        {"\0\0\0\40ftypavif", 12, FV_ERR_UNSUPPORTED, "AVIF"},
        {"\0\0\1\0\1\0", 6, FV_ERR_UNSUPPORTED, "icon"},
        {"\xFF\xD8\xFF", 3, FV_ERR_FORMAT, "JPEG"},
        {"\x89PNG\r\n\x1a\n", 8, FV_ERR_FORMAT, "PNG"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fv_image *image = NULL;
        cr_expect_eq(decode_copy((const uint8_t *)cases[i].bytes, cases[i].n, &image),
                     cases[i].status, "case %zu", i);
        cr_expect(strstr(fv_error_message(), cases[i].word), "case %zu: %s", i, fv_error_message());
        cr_expect_null(image);
    }
}

Test(data_image, refuses_huge_headers_before_allocating) {
    uint8_t jpeg[8192], png[8192];
    fv_image *image = NULL;

    /* JPEG: the size stands behind the first frame marker FF C0. */
    memcpy(jpeg, generated_files[0].bytes, generated_files[0].n_bytes);
    size_t at = 0;
    while (!(jpeg[at] == 0xFF && jpeg[at + 1] == 0xC0)) at++;
    memset(jpeg + at + 5, 0xFD, 4);
    const uint64_t calls = fv_alloc_calls();
    cr_assert_eq(fv_image_decode(jpeg, generated_files[0].n_bytes, &image), FV_ERR_UNSUPPORTED);
    cr_assert(strstr(fv_error_message(), "65021 x 65021"), "%s", fv_error_message());
    cr_expect(fv_alloc_calls() - calls <= 1, "only the image's struct");

    /* PNG: width and height in the first chunk, whose checksum (CRC-32) must fit. */
    static const uint8_t huge[] = {0x89, 'P',  'N', 'G', 0x0D, 0x0A, 0x1A, 0x0A, 0,    0, 0,
                                   13,   'I',  'H', 'D', 'R',  0,    1,    0x86, 0xA0, 0, 1,
                                   0x86, 0xA0, 8,   2,   0,    0,    0,    0,    0,    0, 0};
    memcpy(png, huge, sizeof huge);
    uint32_t crc = 0xFFFFFFFFu;
    for (int i = 12; i < 29; i++) {
        crc ^= png[i];
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320u : 0);
    }
    for (int i = 0; i < 4; i++) png[29 + i] = (uint8_t)(~crc >> (24 - 8 * i));
    const size_t i = find_file("png_interlaced");
    memcpy(png + 33, generated_files[i].bytes + 33, generated_files[i].n_bytes - 33);
    cr_assert_eq(fv_image_decode(png, generated_files[i].n_bytes, &image), FV_ERR_UNSUPPORTED);
    cr_assert(strstr(fv_error_message(), "100000 x 100000"), "%s", fv_error_message());
}

/* Appends n copies of the file's last scan in front of its end marker. */
static uint8_t *repeat_last_scan(size_t i, int n, size_t *n_bytes) {
    const uint8_t *bytes = generated_files[i].bytes;
    const size_t end = generated_files[i].n_bytes - 2;
    size_t begin = end;

    while (!(bytes[begin] == 0xFF && bytes[begin + 1] == 0xDA)) begin--;
    const size_t scan = end - begin;
    uint8_t *out = fv_alloc(end + (size_t)n * scan + 2, 1);
    cr_assert_not_null(out);
    memcpy(out, bytes, end);
    for (int k = 0; k < n; k++) memcpy(out + end + (size_t)k * scan, bytes + begin, scan);
    memcpy(out + end + (size_t)n * scan, bytes + end, 2);
    *n_bytes = end + (size_t)n * scan + 2;
    return out;
}

Test(data_image, refuses_scan_bombs_before_allocating) {
    const size_t i = find_file("jpeg_progressive");
    fv_image *image = NULL;
    size_t n_bytes = 0, at = 0;

    uint8_t *many = repeat_last_scan(i, FV_IMAGE_MAX_SCANS, &n_bytes);
    cr_expect_eq(fv_image_decode(many, n_bytes, &image), FV_ERR_UNSUPPORTED);
    cr_expect(strstr(fv_error_message(), "scans of 21 x 17 pixels"), "%s", fv_error_message());
    fv_free(many);
    /* Fewer scans are too many for a picture of 100 megapixels. */
    uint8_t *large = repeat_last_scan(i, 90, &n_bytes);
    while (!(large[at] == 0xFF && large[at + 1] == 0xC2)) at++;
    for (int k = 0; k < 2; k++) { /* 10000 */
        large[at + 5 + 2 * k] = 0x27;
        large[at + 6 + 2 * k] = 0x10;
    }
    cr_expect_eq(fv_image_decode(large, n_bytes, &image), FV_ERR_UNSUPPORTED);
    cr_expect(strstr(fv_error_message(), "scans of 10000 x 10000"), "%s", fv_error_message());
    cr_expect_null(image);
    fv_free(large);
}

Test(data_image, suffixes_collect_what_may_be_an_image) {
    static const char *const yes[] = {"a.jpg", "b.JPEG", "x/c.Png", "d.bmp", "e.gif",  "f.ppm",
                                      "g.pgm", "h.tga",  "i.psd",   "j.pbm", "k.webp", "l.tiff"};
    static const char *const no[] = {"a", "a.txt", "jpg", ".jpg", "x.png/readme", "a.jpg.part", ""};

    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++)
        cr_expect(fv_image_has_suffix(yes[i]), "%s", yes[i]);
    for (size_t i = 0; i < sizeof no / sizeof *no; i++)
        cr_expect(!fv_image_has_suffix(no[i]), "%s", no[i]);
}

Test(data_image, png_round_trip_is_exact_and_deterministic) {
    fv_image *image = test_pattern(31, 45), *again = NULL;
    uint8_t *a = NULL, *b = NULL;
    size_t n_a = 0, n_b = 0;

    cr_assert_eq(fv_image_encode_png(image, &a, &n_a), FV_OK);
    cr_assert_eq(fv_image_encode_png(image, &b, &n_b), FV_OK);
    cr_assert(n_a == n_b && memcmp(a, b, n_a) == 0);
    cr_assert_eq(fv_image_decode(a, n_a, &again), FV_OK);
    cr_assert(again->height == 31 && again->width == 45);
    cr_assert_eq(memcmp(image->pixels, again->pixels, 31 * 45 * 3), 0);
    fv_free(a);
    fv_free(b);
    fv_image_destroy(image);
    fv_image_destroy(again);
}

Test(data_image, grey_png_round_trip) {
    uint8_t grey[6] = {0, 1, 2, 253, 254, 255}, *bytes = NULL;
    size_t n = 0;
    fv_image *image = NULL;

    cr_assert_eq(fv_image_encode_png_grey(grey, 2, 3, &bytes, &n), FV_OK);
    cr_assert_eq(fv_image_decode(bytes, n, &image), FV_OK);
    for (int i = 0; i < 18; i++) cr_expect_eq(image->pixels[i], grey[i / 3]);
    fv_free(bytes);
    fv_image_destroy(image);
}

Test(data_image, jpeg_encoding_is_close_and_deterministic) {
    fv_image *image = NULL, *again = NULL;
    uint8_t *a = NULL, *b = NULL;
    size_t n_a = 0, n_b = 0;

    cr_assert_eq(fv_image_create(40, 30, &image), FV_OK);
    for (int i = 0; i < 40 * 30 * 3; i++) image->pixels[i] = (uint8_t)(i / 90 * 5 + i % 3 * 20);
    cr_assert_eq(fv_image_encode_jpeg(image, 95, &a, &n_a), FV_OK);
    cr_assert_eq(fv_image_encode_jpeg(image, 95, &b, &n_b), FV_OK);
    cr_assert(n_a == n_b && memcmp(a, b, n_a) == 0);
    cr_assert_eq(fv_image_decode(a, n_a, &again), FV_OK);
    for (int i = 0; i < 40 * 30 * 3; i++)
        cr_assert(abs(image->pixels[i] - again->pixels[i]) <= 6, "value %d", i);
    fv_free(a);
    cr_assert_eq(fv_image_encode_jpeg(image, 0, &a, &n_a), FV_ERR_CONFIG);
    fv_free(b);
    fv_image_destroy(image);
    fv_image_destroy(again);
}

Test(data_image, load_and_save_name_the_path) {
    fv_image *image = test_pattern(5, 6), *again = NULL;

    cr_assert_eq(fv_image_save_png(image, in_root("a.png")), FV_OK);
    cr_assert_eq(fv_image_load(path, &again), FV_OK);
    cr_assert_eq(memcmp(image->pixels, again->pixels, 90), 0);
    fv_image_destroy(again);
    cr_assert_eq(fv_image_load(in_root("absent.png"), &again), FV_ERR_NOT_FOUND);
    cr_assert(strstr(fv_error_message(), path));
    test_write(in_root("text.jpg"), "no", 2);
    cr_assert_eq(fv_image_load(path, &again), FV_ERR_FORMAT);
    cr_assert(strstr(fv_error_message(), path));
    cr_assert_null(again);
    cr_assert_neq(fv_image_save_png(image, in_root("no/folder.png")), FV_OK);
    cr_assert(strstr(fv_error_message(), path));
    fv_image_destroy(image);
}

Test(data_image, decode_into_keeps_its_memory) {
    fv_image image = {0};

    cr_assert_eq(fv_image_decode_into(generated_files[0].bytes, generated_files[0].n_bytes, &image),
                 FV_OK);
    const uint64_t calls = fv_alloc_calls();
    cr_assert_eq(fv_image_decode_into(generated_files[2].bytes, generated_files[2].n_bytes, &image),
                 FV_OK);
    cr_expect_eq(fv_alloc_calls(), calls);
    fv_image_release(&image);
    cr_expect_null(image.pixels);
}

Test(data_image, every_failing_allocation_is_reported) {
    for (size_t i = 0; i < N_FILES; i++) {
        for (uint64_t n = 1;; n++) {
            fv_image *image = NULL;
            fv_alloc_fail_at(n);
            const fv_status status =
                fv_image_decode(generated_files[i].bytes, generated_files[i].n_bytes, &image);
            fv_alloc_fail_at(0);
            fv_image_destroy(image);
            if (status == FV_OK) {
                cr_expect(n > 2);
                break;
            }
            cr_assert_eq(status, FV_ERR_NOMEM, "%s, allocation %d", generated_files[i].name,
                         (int)n);
            cr_assert_null(image);
        }
    }
}

Test(data_image, every_failing_allocation_of_encoders_is_reported) {
    fv_image *image = test_pattern(64, 64);

    for (int jpeg = 0; jpeg < 2; jpeg++) {
        for (uint64_t n = 1;; n++) {
            uint8_t *bytes = NULL;
            size_t n_bytes = 0;
            fv_alloc_fail_at(n);
            const fv_status status = jpeg ? fv_image_encode_jpeg(image, 90, &bytes, &n_bytes)
                                          : fv_image_encode_png(image, &bytes, &n_bytes);
            fv_alloc_fail_at(0);
            fv_free(bytes);
            if (status == FV_OK) break;
            cr_assert_eq(status, FV_ERR_NOMEM);
            cr_assert_null(bytes);
        }
    }
    fv_image_destroy(image);
}
