/* decode_bmp.c - Windows and OS/2 bitmaps of 1, 4, 8, 16, 24 and 32 bits, through stb_image.
 *
 * Run-length coding is expanded to 8-bit rows first.  5 and 6 bits become v * 255 / 31 and / 63 as in
 * Pillow; the fourth byte of 32 bits is dropped. */
#include "core/alloc.h"
#include "data/bytes.h"
#include "data/decode_stb.h"
#include "data/decoder_list.h"

#include <string.h>

#define FILE_HEADER 14
#define INFO_HEADER 40
#define HEAD_MOST   (FILE_HEADER + INFO_HEADER + 4 * 256)

enum { PLAIN = 0, RLE8 = 1, RLE4 = 2, MASKS = 3 };

typedef struct bmp {
    int64_t height, width;
    bool top_down;
    uint32_t bits, compression;
    uint32_t mask[3];         /* of 16 and 32 bits with masks: R, G, B */
    uint8_t palette[4 * 256]; /* B G R 0; grey where the file says nothing */
    size_t start;             /* of the picture data */
} bmp;

static bool sniff(const uint8_t *bytes, size_t n_bytes) {
    return n_bytes >= FILE_HEADER && bytes[0] == 'B' && bytes[1] == 'M';
}

static fv_status truncated(void) { return FV_FAIL(FV_ERR_FORMAT, "BMP: file is truncated"); }

static fv_status read_sizes(const uint8_t *p, size_t n_bytes, bmp *b) {
    if (n_bytes < FILE_HEADER + 12) return truncated();
    const uint32_t header = fv_u32_le(p + 14);
    if (header != 12 && header != 40 && header != 52 && header != 56 && header != 64 &&
        header != 108 && header != 124)
        return FV_FAIL(FV_ERR_UNSUPPORTED, "BMP: a header of %u bytes", header);
    if (n_bytes < FILE_HEADER + header) return truncated();
    int64_t height = header == 12 ? (int64_t)fv_u16_le(p + 20) : (int32_t)fv_u32_le(p + 22);
    b->width = header == 12 ? (int64_t)fv_u16_le(p + 18) : (int32_t)fv_u32_le(p + 18);
    b->top_down = height < 0;
    b->height = height < 0 ? -height : height;
    b->bits = fv_u16_le(p + (header == 12 ? 24 : 28));
    b->compression = header == 12 ? PLAIN : fv_u32_le(p + 30);
    if (b->height < 1 || b->width < 1)
        return FV_FAIL(FV_ERR_FORMAT, "BMP: %lld x %lld pixels", (long long)b->width,
                       (long long)b->height);
    return FV_OK;
}

/* Consecutive bits, 1 to 8 of them: what stb_image reads. */
static bool is_mask(uint32_t mask) {
    if (mask == 0) return false;
    while (!(mask & 1)) mask >>= 1;
    return mask <= 0xFF && (mask & (mask + 1)) == 0;
}

static fv_status read_masks(const uint8_t *p, size_t n_bytes, bmp *b) {
    static const uint32_t usual[3] = {0xFF0000, 0xFF00, 0xFF};

    if (n_bytes < FILE_HEADER + INFO_HEADER + 12) return truncated();
    for (int c = 0; c < 3; c++) b->mask[c] = fv_u32_le(p + FILE_HEADER + INFO_HEADER + 4 * c);
    const bool none = !b->mask[0] && !b->mask[1] && !b->mask[2];
    if (b->bits == 32 && none) memcpy(b->mask, usual, sizeof usual);
    if (b->bits == 24 && memcmp(b->mask, usual, sizeof usual) == 0) {
        b->compression = PLAIN;
        return FV_OK;
    }
    for (int c = 0; c < 3; c++)
        if (b->bits == 24 || !is_mask(b->mask[c]))
            return FV_FAIL(FV_ERR_UNSUPPORTED, "BMP: %u bits with the masks %x %x %x", b->bits,
                           b->mask[0], b->mask[1], b->mask[2]);
    return FV_OK;
}

static fv_status read_palette(const uint8_t *p, size_t n_bytes, bmp *b, size_t *end) {
    const uint32_t header = fv_u32_le(p + 14);
    const size_t entry = header == 12 ? 3 : 4, at = FILE_HEADER + header;
    uint32_t colours = header == 12 ? 0 : fv_u32_le(p + 46);

    for (int i = 0; i < 256; i++) memset(b->palette + 4 * i, i, 3);
    if (colours == 0) colours = 1u << b->bits;
    if (colours > 65536) return FV_FAIL(FV_ERR_UNSUPPORTED, "BMP: %u colours", colours);
    if (n_bytes - at < entry * colours) return truncated();
    for (uint32_t i = 0; i < colours && i < 256; i++)
        memcpy(b->palette + 4 * i, p + at + entry * i, 3);
    *end = at + entry * colours;
    return FV_OK;
}

static fv_status read_header(const uint8_t *p, size_t n_bytes, bmp *b) {
    *b = (bmp){0};
    FV_TRY(read_sizes(p, n_bytes, b));
    const uint32_t bits = b->bits, kind = b->compression;
    const bool indexed = bits == 1 || bits == 4 || bits == 8;
    if (!indexed && bits != 16 && bits != 24 && bits != 32)
        return FV_FAIL(FV_ERR_UNSUPPORTED, "BMP: %u bits a pixel", bits);
    if (kind > MASKS || (kind == RLE8 && bits != 8) || (kind == RLE4 && bits != 4) ||
        (kind == MASKS && indexed))
        return FV_FAIL(FV_ERR_UNSUPPORTED, "BMP: compression %u of %u bits", kind, bits);
    const size_t header = FILE_HEADER + fv_u32_le(p + 14);
    size_t end = header + (kind == MASKS && header == FILE_HEADER + INFO_HEADER ? 12 : 0);
    if (kind == MASKS) FV_TRY(read_masks(p, n_bytes, b));
    if (indexed) FV_TRY(read_palette(p, n_bytes, b, &end));
    b->start = fv_u32_le(p + 10);
    /* Writers that forget the palette, or everything, in the offset. */
    if (b->start == 0 || (indexed && b->start == header)) b->start = end;
    if (b->start > n_bytes) return truncated();
    return FV_OK;
}

static fv_status size(const uint8_t *bytes, size_t n_bytes, int64_t *height, int64_t *width) {
    bmp b;

    FV_TRY(read_header(bytes, n_bytes, &b));
    *height = b.height;
    *width = b.width;
    return FV_OK;
}

/* A plain header for stb_image; returns its length. */
static size_t write_head(const bmp *b, uint8_t *head) {
    const size_t masks = b->compression == MASKS ? 12 : 0;
    const size_t palette = b->bits <= 8 ? (size_t)4 << b->bits : 0;
    const size_t n = FILE_HEADER + INFO_HEADER + masks + palette;
    uint8_t *extra = head + FILE_HEADER + INFO_HEADER;

    memset(head, 0, n);
    memcpy(head, "BM", 2);
    fv_put_le(head + 10, 4, (uint32_t)n);
    fv_put_le(head + 14, 4, INFO_HEADER);
    fv_put_le(head + 18, 4, (uint32_t)b->width);
    fv_put_le(head + 22, 4, (uint32_t)(b->top_down ? -b->height : b->height));
    fv_put_le(head + 26, 2, 1);
    fv_put_le(head + 28, 2, b->bits);
    fv_put_le(head + 30, 4, b->compression);
    for (size_t c = 0; c < masks / 4; c++) fv_put_le(extra + 4 * c, 4, b->mask[c]);
    memcpy(extra, b->palette, palette);
    return n;
}

/* stb_image repeats the high bits of a short sample below; from them, Pillow's value. */
static void rescale(const bmp *b, fv_image *image) {
    static const uint32_t five[3] = {0x7C00, 0x3E0, 0x1F};
    uint8_t map[3][256];

    for (int c = 0; c < 3; c++) {
        uint32_t most = b->compression == MASKS ? b->mask[c] : five[c];
        while (!(most & 1)) most >>= 1;
        for (uint32_t v = 0; v < 256; v++) map[c][v] = (uint8_t)(v * (most + 1) / 256 * 255 / most);
    }
    for (int64_t i = 0; i < 3 * b->height * b->width; i++)
        image->pixels[i] = map[i % 3][image->pixels[i]];
}

/* ---- run-length coding: pairs (count, value), or 0 and a command ---- */

typedef struct runs {
    const uint8_t *at, *end;
    bool four;
    uint8_t *rows; /* [height, stride], in the order of the file */
    int64_t height, width, stride, x, y;
} runs;

static void put(runs *r, uint8_t value) {
    if (r->x < r->width && r->y < r->height) r->rows[r->y * r->stride + r->x] = value;
    r->x++;
}

/* Two samples of 4 bits take turns in a byte. */
static uint8_t pick(const runs *r, uint8_t byte, int i) {
    if (!r->four) return byte;
    return i % 2 ? byte & 15 : byte >> 4;
}

static bool copy_literal(runs *r, int n) {
    const ptrdiff_t n_bytes = r->four ? (n + 1) / 2 : n;

    if (r->end - r->at < n_bytes) return false;
    for (int i = 0; i < n; i++) put(r, pick(r, r->at[r->four ? i / 2 : i], i));
    r->at += n_bytes + (n_bytes & 1 && r->end - r->at > n_bytes); /* whole 16-bit words */
    return true;
}

static fv_status expand(runs *r) {
    while (r->y < r->height) {
        if (r->end - r->at < 2) return truncated();
        const int count = r->at[0];
        const uint8_t value = r->at[1];
        r->at += 2;
        if (count > 0) {
            for (int i = 0; i < count; i++) put(r, pick(r, value, i));
        } else if (value == 0) {
            r->y++;
            r->x = 0;
        } else if (value == 1) {
            return FV_OK;
        } else if (value == 2) {
            if (r->end - r->at < 2) return truncated();
            r->x += r->at[0];
            r->y += r->at[1];
            r->at += 2;
        } else if (!copy_literal(r, value)) {
            return truncated();
        }
    }
    return FV_OK;
}

static fv_status decode_runs(bmp *b, const uint8_t *bytes, size_t n_bytes, fv_image *image) {
    uint8_t head[HEAD_MOST];
    const int64_t stride = (b->width + 3) / 4 * 4;

    FV_TRY(fv_image_reshape(image, b->height, b->width));
    uint8_t *rows = fv_calloc((size_t)b->height, (size_t)stride);
    if (!rows) return FV_ERR_NOMEM;
    fv_status status = expand(&(runs){.at = bytes + b->start,
                                      .end = bytes + n_bytes,
                                      .four = b->compression == RLE4,
                                      .rows = rows,
                                      .height = b->height,
                                      .width = b->width,
                                      .stride = stride});
    b->bits = 8;
    b->compression = PLAIN;
    const fv_stb_file file = {.format = "BMP",
                              .head = head,
                              .n_head = write_head(b, head),
                              .body = rows,
                              .n_body = (size_t)(b->height * stride),
                              .height = b->height,
                              .width = b->width};
    if (status == FV_OK) status = fv_stb_decode(&file, image);
    fv_free(rows);
    return status;
}

static fv_status decode(const uint8_t *bytes, size_t n_bytes, fv_image *image) {
    uint8_t head[HEAD_MOST];
    bmp b;

    FV_TRY(read_header(bytes, n_bytes, &b));
    if (b.compression == RLE8 || b.compression == RLE4)
        return decode_runs(&b, bytes, n_bytes, image);
    const int64_t stride = (b.width * b.bits + 31) / 32 * 4;
    /* A claim beyond the file is refused before it is allocated; the padding of the last row may be
     * missing. */
    if ((int64_t)(n_bytes - b.start) / stride < b.height - 1) return truncated();
    const fv_stb_file file = {.format = "BMP",
                              .head = head,
                              .n_head = write_head(&b, head),
                              .body = bytes + b.start,
                              .n_body = n_bytes - b.start,
                              .height = b.height,
                              .width = b.width};
    FV_TRY(fv_stb_decode(&file, image));
    if (b.bits == 16) rescale(&b, image);
    return FV_OK;
}

const fv_decoder fv_decoder_bmp = {.name = "bmp", .sniff = sniff, .size = size, .decode = decode};
