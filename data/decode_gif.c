/* decode_gif.c - the first frame of a GIF.
 *
 * As in Pillow: the transparent colour shows its palette entry, and what the frame does not cover is
 * that entry, or the first one.  A frame that leaves the screen enlarges it.  Not through stb_image, which
 * fails where an encoder keeps a full table (gifsicle does), and follows every string that comes behind the
 * last pixel: 2 MB can ask for 10^10 steps. */
#include "core/alloc.h"
#include "data/bytes.h"
#include "data/decoder_list.h"

#include <string.h>

#define SCREEN 13 /* signature and logical screen */
#define TABLE  (3 * 256)
#define FRAME  9 /* the image descriptor behind its separator */

#define MOST_CODES 4096 /* of 12 bits */

typedef struct gif {
    int64_t height, width; /* of the screen */
    int64_t top, left, frame_h, frame_w;
    bool interlaced;
    int fill;               /* palette entry of what is not covered */
    uint8_t palette[TABLE]; /* grey where the file says nothing */
    size_t start;           /* of the compressed pixels */
} gif;

static bool sniff(const uint8_t *bytes, size_t n_bytes) {
    return n_bytes >= 6 && (memcmp(bytes, "GIF87a", 6) == 0 || memcmp(bytes, "GIF89a", 6) == 0);
}

static fv_status truncated(void) { return FV_FAIL(FV_ERR_FORMAT, "GIF: file is truncated"); }

/* A colour table at *at if flags announce one. */
static fv_status read_table(const uint8_t *p, size_t n_bytes, uint8_t flags, size_t *at, gif *g) {
    const size_t n = (size_t)6 << (flags & 7);

    if (!(flags & 0x80)) return FV_OK;
    if (n_bytes - *at < n) return truncated();
    for (int i = 0; i < 256; i++) memset(g->palette + 3 * i, i, 3);
    memcpy(g->palette, p + *at, n);
    *at += n;
    return FV_OK;
}

/* Steps over an extension at *at, behind its introducer, and notes a transparent colour. */
static fv_status read_extension(const uint8_t *p, size_t n_bytes, size_t *at, gif *g) {
    if (n_bytes - *at < 2) return truncated();
    const uint8_t label = p[(*at)++];
    const uint8_t *block = p + *at;
    for (;;) {
        if (*at >= n_bytes) return truncated();
        const size_t n = p[(*at)++];
        if (n == 0) break;
        if (n_bytes - *at < n) return truncated();
        *at += n;
    }
    if (label == 0xF9 && block[0] >= 4 && block[1] & 1) g->fill = block[4];
    return FV_OK;
}

static fv_status read_frame(const uint8_t *p, size_t n_bytes, size_t at, gif *g) {
    if (n_bytes - at < FRAME) return truncated();
    const uint8_t *d = p + at;
    at += FRAME;
    g->left = fv_u16_le(d);
    g->top = fv_u16_le(d + 2);
    g->frame_w = fv_u16_le(d + 4);
    g->frame_h = fv_u16_le(d + 6);
    g->interlaced = d[8] & 0x40;
    FV_TRY(read_table(p, n_bytes, d[8], &at, g));
    g->start = at;
    if (g->left + g->frame_w > g->width) g->width = g->left + g->frame_w;
    if (g->top + g->frame_h > g->height) g->height = g->top + g->frame_h;
    if (g->frame_w < 1 || g->frame_h < 1 || g->width > 65535 || g->height > 65535)
        return FV_FAIL(FV_ERR_FORMAT, "GIF: a frame of %lld x %lld pixels", (long long)g->frame_w,
                       (long long)g->frame_h);
    return FV_OK;
}

static fv_status read_header(const uint8_t *p, size_t n_bytes, gif *g) {
    size_t at = SCREEN;

    *g = (gif){0};
    if (n_bytes < SCREEN) return truncated();
    for (int i = 0; i < 256; i++) memset(g->palette + 3 * i, i, 3);
    g->width = fv_u16_le(p + 6);
    g->height = fv_u16_le(p + 8);
    FV_TRY(read_table(p, n_bytes, p[10], &at, g));
    while (at < n_bytes) {
        const uint8_t tag = p[at++];
        if (tag == ',') return read_frame(p, n_bytes, at, g);
        if (tag == ';') return FV_FAIL(FV_ERR_FORMAT, "GIF: the file holds no picture");
        if (tag == '!') FV_TRY(read_extension(p, n_bytes, &at, g));
    }
    return truncated();
}

static fv_status size(const uint8_t *bytes, size_t n_bytes, int64_t *height, int64_t *width) {
    gif g;

    FV_TRY(read_header(bytes, n_bytes, &g));
    *height = g.height;
    *width = g.width;
    return FV_OK;
}

/* ---- compressed palette entries: codes of variable length, lowest bits first, in blocks ---- */

typedef struct codes {
    const uint8_t *at, *end;
    int in_block; /* bytes left of the current one */
    uint32_t bits;
    int n_bits;
} codes;

/* The next code of n bits; -1 behind the last block, -2 behind the end of the file. */
static int next_code(codes *c, int n) {
    while (c->n_bits < n) {
        if (c->in_block == 0) {
            if (c->at == c->end) return -2;
            c->in_block = *c->at++;
            if (c->in_block == 0) return -1;
            if (c->end - c->at < c->in_block) return -2;
        }
        c->bits |= (uint32_t)*c->at++ << c->n_bits;
        c->n_bits += 8;
        c->in_block--;
    }
    const int code = (int)(c->bits & ((1u << n) - 1));
    c->bits >>= n;
    c->n_bits -= n;
    return code;
}

/* Strings of the LZW table: that of the prefix, and one more entry. */
typedef struct table {
    int prefix[MOST_CODES], length[MOST_CODES];
    uint8_t first[MOST_CODES], last[MOST_CODES];
    int count, width; /* entries, bits of a code */
} table;

static void clear_table(table *t, int literals) {
    for (int i = 0; i < 1 << literals; i++) {
        t->first[i] = t->last[i] = (uint8_t)i;
        t->length[i] = 1;
    }
    t->count = (1 << literals) + 2; /* behind the codes for clearing and for the end */
    t->width = literals + 1;
}

/* A table that is full stays as it is until it is cleared. */
static void add_entry(table *t, int prefix, uint8_t last) {
    if (t->count == MOST_CODES) return;
    t->prefix[t->count] = prefix;
    t->first[t->count] = t->first[prefix];
    t->last[t->count] = last;
    t->length[t->count] = t->length[prefix] + 1;
    t->count++;
    if (t->count >= 1 << t->width && t->width < 12) t->width++;
}

/* Writes the string of a code, as far as it fits, and returns its length. */
static int64_t put_string(const table *t, int code, uint8_t *out, int64_t room) {
    const int64_t length = t->length[code];

    for (int64_t i = length - 1; i >= 0; i--) {
        if (i < room) out[i] = t->last[code];
        code = t->prefix[code];
    }
    return length;
}

/* Fills index [n]; what follows the last pixel is not looked at. */
static fv_status unpack(const gif *g, const uint8_t *bytes, size_t n_bytes, table *t,
                        uint8_t *index, int64_t n) {
    codes c = {.at = bytes + g->start, .end = bytes + n_bytes};

    if (c.at == c.end) return truncated();
    const int literals = *c.at++;
    if (literals < 1 || literals > 8)
        return FV_FAIL(FV_ERR_FORMAT, "GIF: entries of %d bits", literals);
    const int clear = 1 << literals;
    clear_table(t, literals);
    for (int64_t done = 0, previous = -1; done < n;) {
        const int code = next_code(&c, t->width);
        if (code == -2) return truncated();
        if (code == -1 || code == clear + 1)
            return FV_FAIL(FV_ERR_FORMAT, "GIF: picture data ends early");
        if (code == clear) {
            clear_table(t, literals);
            previous = -1;
            continue;
        }
        if (code > t->count || (code == t->count && previous < 0))
            return FV_FAIL(FV_ERR_FORMAT, "GIF: corrupt picture data");
        if (previous >= 0)
            add_entry(t, (int)previous, t->first[code == t->count ? previous : code]);
        done += put_string(t, code, index + done, n - done);
        previous = code;
    }
    return FV_OK;
}

/* Rows of an interlaced frame: every 8th from 0, every 8th from 4, every 4th from 2, every 2nd from 1. */
static int64_t next_row(int64_t row, int *pass, int64_t height) {
    static const int first[5] = {0, 4, 2, 1, 0}, step[5] = {8, 8, 4, 2, 1};

    for (row += step[*pass]; row >= height && *pass < 3;) row = first[++*pass];
    return row;
}

static void paint(const gif *g, const uint8_t *index, fv_image *image) {
    int pass = g->interlaced ? 0 : 4;
    int64_t row = 0;

    for (int64_t i = 0; i < g->height * g->width; i++)
        memcpy(image->pixels + 3 * i, g->palette + 3 * g->fill, 3);
    for (int64_t y = 0; y < g->frame_h; y++) {
        uint8_t *out = image->pixels + 3 * ((g->top + row) * g->width + g->left);
        for (int64_t x = 0; x < g->frame_w; x++, out += 3)
            memcpy(out, g->palette + 3 * *index++, 3);
        row = next_row(row, &pass, g->frame_h);
    }
}

static fv_status decode(const uint8_t *bytes, size_t n_bytes, fv_image *image) {
    uint8_t *index = NULL;
    table *t = NULL;
    gif g;

    FV_TRY(read_header(bytes, n_bytes, &g));
    FV_TRY(fv_image_reshape(image, g.height, g.width));
    const int64_t n = g.frame_h * g.frame_w;
    fv_status status = FV_ERR_NOMEM;
    index = fv_alloc((size_t)n, 1);
    t = fv_calloc(1, sizeof *t);
    if (!index || !t) goto cleanup;
    status = unpack(&g, bytes, n_bytes, t, index, n);
    if (status == FV_OK) paint(&g, index, image);
cleanup:
    fv_free(t);
    fv_free(index);
    return status;
}

const fv_decoder fv_decoder_gif = {.name = "gif", .sniff = sniff, .size = size, .decode = decode};
