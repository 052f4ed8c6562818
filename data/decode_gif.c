/* decode_gif.c - the first frame of a GIF, through stb_image.
 *
 * As in Pillow: the transparent colour shows its palette entry, and what the frame does not cover is
 * that entry, or the first one.  A frame that leaves the screen enlarges it. */
#include "core/alloc.h"
#include "data/decode_stb.h"
#include "data/decoder_list.h"

#include <string.h>

#define SCREEN 13 /* signature and logical screen */
#define TABLE  (3 * 256)
#define FRAME  10 /* the separator and the image descriptor */

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
    if (n_bytes - at < FRAME - 1) return truncated();
    const uint8_t *d = p + at;
    at += FRAME - 1;
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

/* One palette of 256 entries, no extension, one frame. */
static void write_head(const gif *g, uint8_t *head) {
    uint8_t *frame = head + SCREEN + TABLE;

    memcpy(head, "GIF89a", 6);
    fv_put_le(head + 6, 2, (uint32_t)g->width);
    fv_put_le(head + 8, 2, (uint32_t)g->height);
    head[10] = 0xF7; /* a table of 2^8 */
    head[11] = head[12] = 0;
    memcpy(head + SCREEN, g->palette, TABLE);
    frame[0] = ',';
    fv_put_le(frame + 1, 2, (uint32_t)g->left);
    fv_put_le(frame + 3, 2, (uint32_t)g->top);
    fv_put_le(frame + 5, 2, (uint32_t)g->frame_w);
    fv_put_le(frame + 7, 2, (uint32_t)g->frame_h);
    frame[9] = g->interlaced ? 0x40 : 0;
}

/* Pixels that stb_image did not write have no alpha. */
static fv_status take_pixels(const gif *g, const uint8_t *rgba, fv_image *image) {
    for (int64_t y = 0; y < g->height; y++)
        for (int64_t x = 0; x < g->width; x++) {
            const int64_t i = y * g->width + x;
            const bool inside =
                y >= g->top && y < g->top + g->frame_h && x >= g->left && x < g->left + g->frame_w;
            if (inside && rgba[4 * i + 3] == 0)
                return FV_FAIL(FV_ERR_FORMAT, "GIF: picture data ends early");
            memcpy(image->pixels + 3 * i, inside ? rgba + 4 * i : g->palette + 3 * g->fill, 3);
        }
    return FV_OK;
}

static fv_status decode(const uint8_t *bytes, size_t n_bytes, fv_image *image) {
    uint8_t head[SCREEN + TABLE + FRAME];
    uint8_t *rgba = NULL;
    gif g;

    FV_TRY(read_header(bytes, n_bytes, &g));
    FV_TRY(fv_image_reshape(image, g.height, g.width));
    write_head(&g, head);
    /* A code of at most 12 bits gives a pixel or more; a stream that goes on far behind the last
     * pixel would only cost time. */
    const size_t most = (size_t)(2 * g.frame_w * g.frame_h) + 4096, n = n_bytes - g.start;
    const fv_stb_file file = {.format = "GIF",
                              .head = head,
                              .n_head = sizeof head,
                              .body = bytes + g.start,
                              .n_body = n < most ? n : most,
                              .height = g.height,
                              .width = g.width};
    FV_TRY(fv_stb_decode(&file, 4, &rgba));
    const fv_status status = take_pixels(&g, rgba, image);
    fv_free(rgba);
    return status;
}

const fv_decoder fv_decoder_gif = {.name = "gif", .sniff = sniff, .size = size, .decode = decode};
