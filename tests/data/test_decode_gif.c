#include "data/image.h"

#include <criterion/criterion.h>

#include <string.h>

#define H 100
#define W 60

TestSuite(data_decode_gif);

/* A GIF of literal codes only: width grows with the table that a decoder builds, and stays at 12 bits when it is
 * full, which it is after 3838 pixels.  Returns the length of the file. */
static size_t write_literals(uint8_t *out, const uint8_t *index, size_t n) {
    static const uint8_t head[] = {'G', 'I', 'F', '8', '9', 'a', W, 0, H, 0, 0, 0,
                                   0,   ',', 0,   0,   0,   0,   W, 0, H, 0, 0, 8};
    uint8_t packed[3 * H * W];
    uint64_t bits = 0;
    size_t n_packed = 0, at = sizeof head;
    int n_bits = 0, width = 9, count = 258;

    for (size_t i = 0; i < n + 2; i++) {
        const int code = i == 0 ? 256 : i == n + 1 ? 257 : index[i - 1];
        bits |= (uint64_t)code << n_bits;
        n_bits += width;
        for (; n_bits >= 8 || (i == n + 1 && n_bits > 0); n_bits -= 8, bits >>= 8)
            packed[n_packed++] = (uint8_t)bits;
        if (i > 1 && count < 4096) count++;
        if (count == 1 << width && width < 12) width++;
    }
    memcpy(out, head, sizeof head);
    for (size_t i = 0; i < n_packed; i += 255) {
        const size_t block = n_packed - i < 255 ? n_packed - i : 255;
        out[at++] = (uint8_t)block;
        memcpy(out + at, packed + i, block);
        at += block;
    }
    out[at++] = 0;
    out[at++] = ';';
    return at;
}

static uint8_t file[4 * H * W], index_[2 * H * W];

static void fill(void) {
    for (size_t i = 0; i < sizeof index_; i++) index_[i] = (uint8_t)(i * 73 + i / 251);
}

/* Without a colour table an entry is its grey. */
Test(data_decode_gif, a_full_table_stays) {
    fv_image image = {0};

    fill();
    const size_t n = write_literals(file, index_, H * W);
    cr_assert_eq(fv_image_decode_into(file, n, &image), FV_OK, "%s", fv_error_message());
    cr_assert(image.height == H && image.width == W);
    for (int i = 0; i < 3 * H * W; i++) cr_assert_eq(image.pixels[i], index_[i / 3], "byte %d", i);
    fv_image_release(&image);
}

Test(data_decode_gif, too_few_pixels_are_an_error_and_more_are_left) {
    fv_image image = {0};

    fill();
    size_t n = write_literals(file, index_, H * W - 1);
    cr_expect_eq(fv_image_decode_into(file, n, &image), FV_ERR_FORMAT);
    cr_expect(strstr(fv_error_message(), "ends early"), "%s", fv_error_message());
    n = write_literals(file, index_, H * W + 500);
    cr_expect_eq(fv_image_decode_into(file, n, &image), FV_OK, "%s", fv_error_message());
    cr_expect_eq(image.pixels[3 * H * W - 1], index_[H * W - 1]);
    fv_image_release(&image);
}

Test(data_decode_gif, codes_beyond_the_table_are_an_error) {
    /* 2 bits: clear (4), a literal, then the code 7 where only 6 may come next. */
    static const uint8_t bytes[] = {'G', 'I', 'F', '8', '7', 'a', 2, 0, 2, 0, 0,    0,    0, ',', 0,
                                    0,   0,   0,   2,   0,   2,   0, 0, 2, 2, 0xCC, 0x01, 0, ';'};
    fv_image image = {0};

    cr_expect_eq(fv_image_decode_into(bytes, sizeof bytes, &image), FV_ERR_FORMAT);
    cr_expect(strstr(fv_error_message(), "corrupt"), "%s", fv_error_message());
    fv_image_release(&image);
}
