/* decode_psd.c - the flattened picture of a Photoshop file, through stb_image: RGB, grey and indexed
 * colours of 8 bits, RGB and grey of 16 bits (the high byte).
 *
 * Further channels are left out before stb_image sees them: it would blend with alpha, which Pillow
 * drops. */
#include "core/alloc.h"
#include "data/bytes.h"
#include "data/decode_stb.h"
#include "data/decoder_list.h"

#include <string.h>

#define HEAD 40 /* 26 bytes, three empty sections and the kind of compression */

enum { GREY = 1, INDEXED = 2, RGB = 3, MULTICHANNEL = 7, DUOTONE = 8 };

typedef struct psd {
    int64_t height, width;
    uint32_t mode, bits, channels;
    uint32_t used; /* channels that make the picture: 1 or 3 */
    bool packed;
    const uint8_t *palette; /* indexed: 256 reds, greens, blues */
    size_t start;           /* behind the kind of compression */
} psd;

static bool sniff(const uint8_t *bytes, size_t n_bytes) {
    return n_bytes >= 4 && memcmp(bytes, "8BPS", 4) == 0;
}

static fv_status truncated(void) { return FV_FAIL(FV_ERR_FORMAT, "PSD: file is truncated"); }

static fv_status check_kind(const psd *p) {
    const bool grey = p->mode == GREY || p->mode == MULTICHANNEL || p->mode == DUOTONE;

    if (p->mode != RGB && p->mode != INDEXED && !grey)
        return FV_FAIL(FV_ERR_UNSUPPORTED, "PSD: colour mode %u%s", p->mode,
                       p->mode == 0   ? " (bitmap)"
                       : p->mode == 4 ? " (CMYK)"
                       : p->mode == 9 ? " (Lab)"
                                      : "");
    if (p->bits != 8 && !(p->bits == 16 && p->mode != INDEXED))
        return FV_FAIL(FV_ERR_UNSUPPORTED, "PSD: %u bits a channel", p->bits);
    if (p->channels < p->used || p->channels > 56)
        return FV_FAIL(FV_ERR_FORMAT, "PSD: %u channels", p->channels);
    return FV_OK;
}

/* Colour data, resources and layers: each a length and as many bytes. */
static fv_status skip_sections(const uint8_t *bytes, size_t n_bytes, psd *p) {
    size_t at = 26;

    for (int i = 0; i < 3; i++) {
        if (n_bytes - at < 4) return truncated();
        const size_t n = fv_u32_be(bytes + at);
        at += 4;
        if (n_bytes - at < n) return truncated();
        if (i == 0 && n == 768) p->palette = bytes + at;
        at += n;
    }
    if (n_bytes - at < 2) return truncated();
    const uint32_t compression = fv_u16_be(bytes + at);
    if (compression > 1 || (compression == 1 && p->bits == 16))
        return FV_FAIL(FV_ERR_UNSUPPORTED, "PSD: compression %u of %u bits", compression, p->bits);
    p->packed = compression == 1;
    p->start = at + 2;
    return FV_OK;
}

static fv_status read_header(const uint8_t *bytes, size_t n_bytes, psd *p) {
    *p = (psd){0};
    if (n_bytes < 26) return truncated();
    if (fv_u16_be(bytes + 4) != 1)
        return FV_FAIL(FV_ERR_UNSUPPORTED, "PSD: version %u", fv_u16_be(bytes + 4));
    p->channels = fv_u16_be(bytes + 12);
    p->height = fv_u32_be(bytes + 14);
    p->width = fv_u32_be(bytes + 18);
    p->bits = fv_u16_be(bytes + 22);
    p->mode = fv_u16_be(bytes + 24);
    p->used = p->mode == RGB ? 3 : 1;
    if (p->height < 1 || p->width < 1)
        return FV_FAIL(FV_ERR_FORMAT, "PSD: %lld x %lld pixels", (long long)p->width,
                       (long long)p->height);
    FV_TRY(check_kind(p));
    FV_TRY(skip_sections(bytes, n_bytes, p));
    if (p->mode == INDEXED && !p->palette) return FV_FAIL(FV_ERR_FORMAT, "PSD: no colour table");
    return FV_OK;
}

static fv_status size(const uint8_t *bytes, size_t n_bytes, int64_t *height, int64_t *width) {
    psd p;

    FV_TRY(read_header(bytes, n_bytes, &p));
    *height = p.height;
    *width = p.width;
    return FV_OK;
}

/* stb_image reads RGB only: a single channel arrives as red. */
static void write_head(const psd *p, uint8_t *head) {
    memset(head, 0, HEAD);
    memcpy(head, "8BPS\0\1", 6);
    fv_put_be(head + 12, 2, p->used);
    fv_put_be(head + 14, 4, (uint32_t)p->height);
    fv_put_be(head + 18, 4, (uint32_t)p->width);
    fv_put_be(head + 22, 2, p->bits);
    fv_put_be(head + 24, 2, RGB);
    fv_put_be(head + 38, 2, p->packed);
}

static void spread(const psd *p, fv_image *image) {
    for (int64_t i = 0; i < p->height * p->width; i++) {
        const uint8_t v = image->pixels[3 * i];
        for (int c = 0; c < 3; c++)
            image->pixels[3 * i + c] = p->mode == INDEXED ? p->palette[256 * c + v] : v;
    }
}

/* The bytes of all channels behind p->start, those that are left out included: a file that ends in them
 * is cut. */
static uint64_t data_bytes(const psd *p, const uint8_t *bytes, size_t n_bytes) {
    const uint64_t rows = (uint64_t)p->height * p->channels;
    uint64_t n = 2 * rows;

    if (!p->packed) return rows * (uint64_t)p->width * (p->bits / 8);
    for (uint64_t i = 0; i < rows && 2 * rows <= n_bytes - p->start; i++)
        n += fv_u16_be(bytes + p->start + 2 * i);
    return n;
}

static fv_status decode(const uint8_t *bytes, size_t n_bytes, fv_image *image) {
    uint8_t head[HEAD];
    psd p;

    FV_TRY(read_header(bytes, n_bytes, &p));
    FV_TRY(fv_image_check_size(p.height, p.width));
    if (n_bytes - p.start < data_bytes(&p, bytes, n_bytes)) return truncated();
    /* Packed rows: the lengths of all rows of all channels come first.  stb_image steps over those of
     * the channels it knows of, so the body begins with as many of them. */
    const size_t left_out = p.packed ? (size_t)(2 * p.height) * (p.channels - p.used) : 0;
    const size_t body = p.start + left_out;
    write_head(&p, head);
    const fv_stb_file file = {.format = "PSD",
                              .head = head,
                              .n_head = HEAD,
                              .body = bytes + body,
                              .n_body = n_bytes - body,
                              .height = p.height,
                              .width = p.width};
    FV_TRY(fv_stb_decode(&file, image));
    if (p.used == 1) spread(&p, image);
    return FV_OK;
}

const fv_decoder fv_decoder_psd = {.name = "psd", .sniff = sniff, .size = size, .decode = decode};
