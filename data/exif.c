#include "data/exif.h"

#include "data/bytes.h"

#include <stdbool.h>
#include <string.h>

#define ORIENTATION_TAG 0x0112
#define TYPE_SHORT      3
#define ENTRY           12 /* bytes of a directory entry: tag, type, count, value */

typedef struct tiff {
    const uint8_t *p;
    size_t n;
    bool big_endian;
} tiff;

static uint32_t u16(const tiff *t, size_t at) {
    return t->big_endian ? fv_u16_be(t->p + at) : fv_u16_le(t->p + at);
}

static uint32_t u32(const tiff *t, size_t at) {
    return t->big_endian ? fv_u32_be(t->p + at) : fv_u32_le(t->p + at);
}

/* The tag in the first directory of a TIFF structure; 1 when there is none. */
static int find_orientation(tiff t) {
    if (t.n < 8) return 1;
    if (memcmp(t.p, "II*\0", 4) != 0 && memcmp(t.p, "MM\0*", 4) != 0) return 1;
    t.big_endian = t.p[0] == 'M';
    const size_t directory = u32(&t, 4);
    if (directory > t.n - 2) return 1;
    const size_t count = u16(&t, directory);
    for (size_t i = 0; i < count; i++) {
        const size_t at = directory + 2 + ENTRY * i;
        if (at > t.n || t.n - at < ENTRY) return 1;
        if (u16(&t, at) != ORIENTATION_TAG) continue;
        const uint32_t value = u16(&t, at + 8);
        const bool valid = u16(&t, at + 2) == TYPE_SHORT && u32(&t, at + 4) == 1;
        return valid && value >= 1 && value <= 8 ? (int)value : 1;
    }
    return 1;
}

/* Walks the segments: FF, code, length of two bytes that counts itself. */
int fv_exif_orientation(const uint8_t *bytes, size_t n_bytes) {
    size_t at = 2;

    if (n_bytes < 4 || bytes[0] != 0xFF || bytes[1] != 0xD8) return 1;
    while (n_bytes - at >= 4) {
        if (bytes[at] != 0xFF) return 1;
        const uint8_t code = bytes[at + 1];
        if (code == 0xFF) { /* a fill byte */
            at++;
            continue;
        }
        if (code == 0xDA || code == 0xD9) return 1;
        const size_t n = fv_u16_be(bytes + at + 2);
        if (n < 2 || n > n_bytes - at - 2) return 1;
        const uint8_t *segment = bytes + at + 4;
        if (code == 0xE1 && n >= 8 && memcmp(segment, "Exif\0\0", 6) == 0)
            return find_orientation((tiff){.p = segment + 6, .n = n - 8});
        at += 2 + n;
    }
    return 1;
}

fv_status fv_image_orient(fv_image *image, int orientation, fv_image *scratch) {
    if (orientation < 2 || orientation > 8) return FV_OK;
    const bool transposed = orientation >= 5;
    /* Are stored rows read from the last one, and stored columns? */
    const bool flip_rows =
        orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
    const bool flip_columns =
        orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
    const int64_t H = image->height, W = image->width;

    FV_TRY(fv_image_reshape(scratch, transposed ? W : H, transposed ? H : W));
    uint8_t *out = scratch->pixels;
    for (int64_t y = 0; y < scratch->height; y++)
        for (int64_t x = 0; x < scratch->width; x++, out += 3) {
            int64_t row = transposed ? x : y, column = transposed ? y : x;
            if (flip_rows) row = H - 1 - row;
            if (flip_columns) column = W - 1 - column;
            memcpy(out, image->pixels + 3 * (row * W + column), 3);
        }
    const fv_image turned = *scratch;
    *scratch = *image;
    *image = turned;
    return FV_OK;
}
