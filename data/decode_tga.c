/* decode_tga.c - Truevision TGA through stb_image: grey, colour maps of 8-bit indices and true colour
 * of 16, 24 and 32 bits, plain or run-length coded, from any corner.
 *
 * The format has no signature, so its decoder stands last in the list and every field of the header
 * must make sense. */
#include "data/bytes.h"
#include "data/decode_stb.h"
#include "data/decoder_list.h"

#include <string.h>

#define HEADER    18
#define HEAD_MOST (HEADER + 4 * 256)

enum { MAPPED = 1, COLOUR = 2, GREY = 3, PACKED = 8 };

typedef struct tga {
    int64_t height, width;
    uint32_t kind, bits; /* without PACKED */
    bool packed;
    size_t map_start; /* of the colour map in the file */
    uint32_t map_first, map_count, map_bits;
    size_t start; /* of the picture data */
} tga;

static bool is_colour_depth(uint32_t bits) {
    return bits == 15 || bits == 16 || bits == 24 || bits == 32;
}

static bool sniff(const uint8_t *p, size_t n_bytes) {
    if (n_bytes < HEADER || p[1] > 1 || p[17] & 0xC0) return false;
    const uint32_t kind = p[2] & ~(uint32_t)PACKED, bits = p[16];
    if (p[2] > 11 || fv_u16_le(p + 12) == 0 || fv_u16_le(p + 14) == 0) return false;
    if (p[1] == 0 && (fv_u16_le(p + 3) || fv_u16_le(p + 5) || p[7])) return false;
    if (p[1] == 1 && (fv_u16_le(p + 5) == 0 || !is_colour_depth(p[7]))) return false;
    if (kind == MAPPED) return p[1] == 1 && (bits == 8 || bits == 16);
    if (kind == COLOUR) return is_colour_depth(bits);
    return kind == GREY && (bits == 8 || bits == 16);
}

static fv_status truncated(void) { return FV_FAIL(FV_ERR_FORMAT, "TGA: file is truncated"); }

static fv_status read_header(const uint8_t *p, size_t n_bytes, tga *t) {
    *t = (tga){.height = fv_u16_le(p + 14),
               .width = fv_u16_le(p + 12),
               .kind = p[2] & ~(uint32_t)PACKED,
               .packed = p[2] & PACKED,
               .bits = p[16],
               .map_start = HEADER + (size_t)p[0]};
    if (p[1]) {
        t->map_first = fv_u16_le(p + 3);
        t->map_count = fv_u16_le(p + 5);
        t->map_bits = p[7];
    }
    t->start = t->map_start + (size_t)t->map_count * ((t->map_bits + 7) / 8);
    if (t->kind == MAPPED && (t->bits != 8 || t->map_first + t->map_count > 256))
        return FV_FAIL(FV_ERR_UNSUPPORTED, "TGA: a colour map of %u entries, indices of %u bits",
                       t->map_first + t->map_count, t->bits);
    return n_bytes < t->start ? truncated() : FV_OK;
}

static fv_status size(const uint8_t *bytes, size_t n_bytes, int64_t *height, int64_t *width) {
    tga t;

    FV_TRY(read_header(bytes, n_bytes, &t));
    *height = t.height;
    *width = t.width;
    return FV_OK;
}

/* A header without an identifier, and a colour map of 256 entries that begins at 0. */
static size_t write_head(const tga *t, const uint8_t *bytes, uint8_t *head) {
    memset(head, 0, HEAD_MOST);
    head[2] = (uint8_t)(t->kind | (t->packed ? PACKED : 0));
    fv_put_le(head + 12, 2, (uint32_t)t->width);
    fv_put_le(head + 14, 2, (uint32_t)t->height);
    head[16] = (uint8_t)t->bits;
    head[17] = bytes[17] & 0x20; /* begins with the top row */
    if (t->kind != MAPPED) return HEADER;
    const size_t entry = (t->map_bits + 7) / 8;
    head[1] = 1;
    fv_put_le(head + 5, 2, 256);
    head[7] = (uint8_t)t->map_bits;
    memcpy(head + HEADER + t->map_first * entry, bytes + t->map_start, t->map_count * entry);
    return HEADER + 256 * entry;
}

static void mirror(fv_image *image) {
    for (int64_t y = 0; y < image->height; y++) {
        uint8_t *row = image->pixels + 3 * y * image->width;
        for (int64_t a = 0, b = image->width - 1; a < b; a++, b--)
            for (int c = 0; c < 3; c++) {
                const uint8_t v = row[3 * a + c];
                row[3 * a + c] = row[3 * b + c];
                row[3 * b + c] = v;
            }
    }
}

static fv_status decode(const uint8_t *bytes, size_t n_bytes, fv_image *image) {
    uint8_t head[HEAD_MOST];
    tga t;

    FV_TRY(read_header(bytes, n_bytes, &t));
    /* A packet of up to 128 pixels takes at least two bytes. */
    const int64_t n_body = (int64_t)(n_bytes - t.start), n_pixels = t.height * t.width;
    const int64_t least = t.packed ? (n_pixels + 127) / 128 * 2 : n_pixels * ((t.bits + 7) / 8);
    if (n_body < least) return truncated();
    const fv_stb_file file = {.format = "TGA",
                              .head = head,
                              .n_head = write_head(&t, bytes, head),
                              .body = bytes + t.start,
                              .n_body = (size_t)n_body,
                              .height = t.height,
                              .width = t.width};
    FV_TRY(fv_stb_decode(&file, image));
    if (bytes[17] & 0x10) mirror(image); /* rows run from right to left */
    return FV_OK;
}

const fv_decoder fv_decoder_tga = {.name = "tga", .sniff = sniff, .size = size, .decode = decode};
