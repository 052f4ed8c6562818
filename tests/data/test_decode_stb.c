#include "data/decode_stb.h"

#include "core/alloc.h"
#include "core/rng.h"
#include "tests/golden/images_generated.h"

#include <criterion/criterion.h>

#include <string.h>

#define N_FILES   (sizeof generated_files / sizeof *generated_files)
#define N_CORRUPT 1000

TestSuite(data_decode_stb);

static uint8_t *copy_of(const char *name, size_t *n_bytes) {
    size_t i = 0;

    while (i < N_FILES && strcmp(generated_files[i].name, name) != 0) i++;
    cr_assert_lt(i, N_FILES, "%s", name);
    *n_bytes = generated_files[i].n_bytes;
    uint8_t *copy = fv_alloc(*n_bytes, 1);
    cr_assert_not_null(copy);
    memcpy(copy, generated_files[i].bytes, *n_bytes);
    return copy;
}

/* A changed header must give the status, with a word of the reason, and allocate no pixels. */
static void check_refused(const char *name, size_t at, const char *bytes, size_t n,
                          fv_status status, const char *word) {
    fv_image image = {0};
    size_t n_bytes = 0;
    uint8_t *copy = copy_of(name, &n_bytes);

    memcpy(copy + at, bytes, n);
    const uint64_t calls = fv_alloc_calls();
    cr_expect_eq(fv_image_decode_into(copy, n_bytes, &image), status, "%s: %s", name, word);
    cr_expect(strstr(fv_error_message(), word), "%s: %s", name, fv_error_message());
    cr_expect_eq(fv_alloc_calls(), calls, "%s: %s", name, word);
    fv_image_release(&image);
    fv_free(copy);
}

Test(data_decode_stb, refuses_what_is_too_large_or_not_read) {
    check_refused("bmp_24", 18, "\xff\xff\xff\x7f", 4, FV_ERR_FORMAT, "truncated");
    check_refused("bmp_runs8", 18, "\xff\xff\0\0\xff\xff\0\0", 8, FV_ERR_UNSUPPORTED,
                  "65535 x 65535");
    check_refused("bmp_24", 22, "\0\0\0\0", 4, FV_ERR_FORMAT, "13 x 0");
    check_refused("bmp_24", 28, "\2\0", 2, FV_ERR_UNSUPPORTED, "2 bits");
    check_refused("bmp_24", 30, "\4", 1, FV_ERR_UNSUPPORTED, "compression 4");
    check_refused("bmp_16_masks", 54, "\xf0\xf0", 2, FV_ERR_UNSUPPORTED, "masks f0f0 7e0 1f");
    check_refused("gif_clear", 6, "\xff\xff\xff\xff", 4, FV_ERR_UNSUPPORTED, "65535 x 65535");
    check_refused("pnm_6", 3, "9999999 ", 8, FV_ERR_FORMAT, "PNM");
    check_refused("psd_rgb", 14, "\0\1\0\0\0\1\0\0", 8, FV_ERR_UNSUPPORTED, "65536 x 65536");
    check_refused("psd_rgb", 25, "\4", 1, FV_ERR_UNSUPPORTED, "CMYK");
    check_refused("tga_rgb16", 12, "\xff\xff\xff\xff", 4, FV_ERR_FORMAT, "truncated");
    check_refused("tga_map", 3, "\xf0\0", 2, FV_ERR_UNSUPPORTED, "colour map");
}

/* A list of tables of numbers would pass for a TGA if its header were not looked at. */
Test(data_decode_stb, only_sensible_headers_are_a_tga) {
    static const char *const others[] = {
        "\0\0\2\0\1\0\20\20\0\0\0\0\1\0\1\0\30\0\0\0\0", /* a cursor: colour map fields set */
        "\0\1\1\0\0\0\0\30\0\0\0\0\1\0\1\0\10\0\0\0\0",  /* a map without entries */
        "\0\0\3\0\0\0\0\0\0\0\0\0\1\0\1\0\30\0\0\0\0",   /* grey of 24 bits */
        "\0\0\2\0\0\0\0\0\0\0\0\0\0\0\1\0\30\0\0\0\0",   /* no width */
        "\0\0\2\0\0\0\0\0\0\0\0\0\1\0\1\0\30\300\0\0\0", /* reserved bits */
    };

    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        fv_image_header header;
        cr_expect_eq(fv_image_probe((const uint8_t *)others[i], 21, &header), FV_ERR_FORMAT,
                     "case %zu", i);
        cr_expect(strstr(fv_error_message(), "known format"), "case %zu", i);
    }
}

/* Bits flipped at random places, or the end cut off, of files of every kind: an ordinary error or a picture of
 * the announced size, twice the same. */
Test(data_decode_stb, corrupt_files_are_ordinary_errors) {
    fv_rng_stream random = {.key = {.seed = 7, .purpose = FV_RNG_TEST}};
    int failures = 0;

    for (int k = 0; k < N_CORRUPT; k++) {
        const size_t i = (size_t)fv_rng_next_below(&random, N_FILES);
        size_t n = generated_files[i].n_bytes;
        uint8_t *copy = fv_alloc(n, 1);
        fv_image first = {0}, second = {0};
        fv_image_header header = {0};
        cr_assert_not_null(copy);
        memcpy(copy, generated_files[i].bytes, n);
        for (int64_t flips = fv_rng_next_below(&random, 6); flips > 0; flips--)
            copy[fv_rng_next_below(&random, (int64_t)n)] ^=
                (uint8_t)(1 << fv_rng_next_below(&random, 8));
        if (k % 3 == 0) n = (size_t)fv_rng_next_below(&random, (int64_t)n);
        const fv_status probed = fv_image_probe(copy, n, &header);
        if (probed != FV_OK || header.height * header.width < 1000000) {
            const fv_status status = fv_image_decode_into(copy, n, &first);
            cr_expect(status == FV_OK || status == FV_ERR_FORMAT || status == FV_ERR_UNSUPPORTED);
            cr_expect(status != FV_OK || probed == FV_OK);
            cr_expect_eq(fv_image_decode_into(copy, n, &second), status);
            if (status == FV_OK) {
                cr_expect(first.height == header.height && first.width == header.width);
                cr_expect_eq(
                    memcmp(first.pixels, second.pixels, (size_t)(3 * first.height * first.width)),
                    0, "%s, case %d", generated_files[i].name, k);
            }
            failures += status != FV_OK;
        }
        fv_image_release(&first);
        fv_image_release(&second);
        fv_free(copy);
    }
    cr_expect(failures > N_CORRUPT / 3 && failures < N_CORRUPT, "%d failures", failures);
}
