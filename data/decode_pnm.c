/* decode_pnm.c - PBM, PGM and PPM, in text (P1 P2 P3) and binary (P4 P5 P6), as netpbm describes them.
 *
 * Read here, for stb_image knows neither text nor bitmaps nor a largest value other than 255.  As in
 * Pillow a sample becomes round(v * 255 / largest), ties to even; grey of more than 8 bits becomes
 * round(v * 65535 / largest) and is cut at 255, as every 16-bit grey (image.h). */
#include "data/decoder_list.h"

#include <math.h>
#include <string.h>

typedef struct pnm {
    int64_t height, width;
    char kind;    /* '1' .. '6' */
    int channels; /* 1 or 3 */
    int64_t most; /* largest value; bitmaps 1 */
    size_t start; /* of the samples */
} pnm;

static bool is_space(uint8_t c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

static bool sniff(const uint8_t *p, size_t n_bytes) {
    return n_bytes >= 3 && p[0] == 'P' && p[1] >= '1' && p[1] <= '6' &&
           (is_space(p[2]) || p[2] == '#');
}

static fv_status truncated(void) { return FV_FAIL(FV_ERR_FORMAT, "PNM: file is truncated"); }

/* Steps over white space and comments, which reach to the end of their line. */
static void skip_space(const uint8_t *p, size_t n_bytes, size_t *at) {
    for (bool comment = false; *at < n_bytes; (*at)++) {
        const uint8_t c = p[*at];
        if (comment) {
            comment = c != '\n' && c != '\r';
        } else if (c == '#') {
            comment = true;
        } else if (!is_space(c)) {
            return;
        }
    }
}

/* The next number, of at most 10 digits. */
static fv_status read_number(const uint8_t *p, size_t n_bytes, size_t *at, int64_t *out) {
    int digits = 0;

    skip_space(p, n_bytes, at);
    *out = 0;
    for (; *at < n_bytes && p[*at] >= '0' && p[*at] <= '9'; (*at)++) {
        if (++digits > 10) return FV_FAIL(FV_ERR_FORMAT, "PNM: a number of more than 10 digits");
        *out = *out * 10 + (p[*at] - '0');
    }
    if (*at >= n_bytes && digits == 0) return truncated();
    if (digits == 0 || (*at < n_bytes && !is_space(p[*at]) && p[*at] != '#'))
        return FV_FAIL(FV_ERR_FORMAT, "PNM: expected a number, found byte 0x%02x", p[*at]);
    return FV_OK;
}

static fv_status read_header(const uint8_t *p, size_t n_bytes, pnm *m) {
    size_t at = 2;

    *m = (pnm){.kind = (char)p[1], .most = 1};
    m->channels = m->kind == '3' || m->kind == '6' ? 3 : 1;
    FV_TRY(read_number(p, n_bytes, &at, &m->width));
    FV_TRY(read_number(p, n_bytes, &at, &m->height));
    if (m->kind != '1' && m->kind != '4') FV_TRY(read_number(p, n_bytes, &at, &m->most));
    if (m->height < 1 || m->width < 1)
        return FV_FAIL(FV_ERR_FORMAT, "PNM: %lld x %lld pixels", (long long)m->width,
                       (long long)m->height);
    if (m->most < 1 || m->most > 65535)
        return FV_FAIL(FV_ERR_FORMAT, "PNM: largest value %lld, not 1 to 65535",
                       (long long)m->most);
    if (at >= n_bytes) return truncated();
    m->start = at + 1; /* one white space */
    return FV_OK;
}

static fv_status size(const uint8_t *bytes, size_t n_bytes, int64_t *height, int64_t *width) {
    pnm m;

    FV_TRY(read_header(bytes, n_bytes, &m));
    *height = m.height;
    *width = m.width;
    return FV_OK;
}

static uint8_t scale(const pnm *m, int64_t value) {
    if (m->most == 255) return (uint8_t)value;
    const bool wide = m->most > 255 && m->channels == 1;
    const double v = rint((double)value / (double)m->most * (wide ? 65535.0 : 255.0));
    return v > 255.0 ? 255 : (uint8_t)v;
}

static void put(const pnm *m, fv_image *image, int64_t i, uint8_t value) {
    if (m->channels == 3)
        image->pixels[i] = value;
    else
        memset(image->pixels + 3 * i, value, 3);
}

/* Eight pixels a byte, 1 is black; rows begin with a byte. */
static void read_bits(const pnm *m, const uint8_t *p, fv_image *image) {
    const int64_t stride = (m->width + 7) / 8;

    for (int64_t y = 0; y < m->height; y++)
        for (int64_t x = 0; x < m->width; x++) {
            const bool black = p[y * stride + x / 8] >> (7 - x % 8) & 1;
            put(m, image, y * m->width + x, black ? 0 : 255);
        }
}

static void read_binary(const pnm *m, const uint8_t *p, int64_t n, fv_image *image) {
    if (m->most < 256)
        for (int64_t i = 0; i < n; i++) put(m, image, i, scale(m, p[i]));
    else
        for (int64_t i = 0; i < n; i++)
            put(m, image, i, scale(m, (int64_t)p[2 * i] << 8 | p[2 * i + 1]));
}

/* Digits of a text bitmap need no space between them. */
static fv_status read_text(const pnm *m, const uint8_t *p, size_t n_bytes, int64_t n,
                           fv_image *image) {
    size_t at = m->start;

    for (int64_t i = 0; i < n; i++) {
        int64_t value = 0;
        if (m->kind == '1') {
            skip_space(p, n_bytes, &at);
            if (at >= n_bytes) return truncated();
            if (p[at] != '0' && p[at] != '1')
                return FV_FAIL(FV_ERR_FORMAT, "PNM: byte 0x%02x in a bitmap", p[at]);
            put(m, image, i, p[at++] == '1' ? 0 : 255);
            continue;
        }
        FV_TRY(read_number(p, n_bytes, &at, &value));
        if (value > m->most)
            return FV_FAIL(FV_ERR_FORMAT, "PNM: a value of %lld above %lld", (long long)value,
                           (long long)m->most);
        put(m, image, i, scale(m, value));
    }
    return FV_OK;
}

static fv_status decode(const uint8_t *bytes, size_t n_bytes, fv_image *image) {
    pnm m;

    FV_TRY(read_header(bytes, n_bytes, &m));
    FV_TRY(fv_image_check_size(m.height, m.width));
    const int64_t n = m.height * m.width * m.channels;
    /* Text: a digit a sample, and space between numbers. */
    const int64_t least = m.kind == '1'   ? n
                          : m.kind < '4'  ? 2 * n - 1
                          : m.kind == '4' ? m.height * ((m.width + 7) / 8)
                                          : n * (m.most > 255 ? 2 : 1);
    if ((int64_t)(n_bytes - m.start) < least) return truncated();
    FV_TRY(fv_image_reshape(image, m.height, m.width));
    if (m.kind < '4') return read_text(&m, bytes, n_bytes, n, image);
    if (m.kind == '4')
        read_bits(&m, bytes + m.start, image);
    else
        read_binary(&m, bytes + m.start, n, image);
    return FV_OK;
}

const fv_decoder fv_decoder_pnm = {.name = "pnm", .sniff = sniff, .size = size, .decode = decode};
