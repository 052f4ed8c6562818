#include "eval/saliency/bitmap_text.h"

#include <stb/stb_easy_font.h>
#include <stdbool.h>
#include <string.h>

#define MAX_QUADS       16 /* of one letter; the font needs 11 */
#define FLOATS_PER_QUAD 16 /* four corners of x, y, z and a colour */

/* The next letter as the font can draw it; '\0' at the end.  A UTF-8 character is one '?'. */
static char next_letter(const char **text) {
    const unsigned char c = (unsigned char)*(*text);

    if (c == '\0') return '\0';
    ++*text;
    while (((unsigned char)**text & 0xc0) == 0x80) ++*text;
    return c >= 32 && c < 127 ? (char)c : '?';
}

static int64_t letter_width(char letter) { return stb_easy_font_width((char[]){letter, '\0'}); }

/* Of the first n bytes. */
static int64_t width_of(const char *text, size_t n, int64_t scale) {
    int64_t width = 0;
    for (const char *at = text; (size_t)(at - text) < n;) width += letter_width(next_letter(&at));
    return width * scale;
}

int64_t fv_text_width(const char *text, int64_t scale) {
    return width_of(text, strlen(text), scale);
}

static void fit(const char *text, size_t n, int64_t scale, int64_t max_px,
                char out[FV_TEXT_BYTES]) {
    const int64_t dots = fv_text_width("..", scale);

    out[0] = '\0';
    if (n < FV_TEXT_BYTES && width_of(text, n, scale) <= max_px) {
        memcpy(out, text, n);
        out[n] = '\0';
        return;
    }
    if (dots > max_px) return;
    int64_t width = dots;
    size_t kept = 0;
    for (const char *end = text; (size_t)(end - text) < n;) {
        width += letter_width(next_letter(&end)) * scale;
        if (width > max_px || end - text > FV_TEXT_BYTES - 3) break;
        kept = (size_t)(end - text);
    }
    memcpy(out, text, kept);
    memcpy(out + kept, "..", 3);
}

void fv_text_fit(const char *text, int64_t scale, int64_t max_px, char out[FV_TEXT_BYTES]) {
    fit(text, strlen(text), scale, max_px, out);
}

/* Behind the last character of n at which a line may end within max_px; n if there is none. */
static size_t break_of(const char *text, size_t n, int64_t scale, int64_t max_px) {
    size_t best = n;

    for (size_t i = 0; i + 1 < n; i++) {
        if (!strchr(" :,_", text[i])) continue;
        if (width_of(text, text[i] == ' ' ? i : i + 1, scale) > max_px) break;
        best = i + 1;
    }
    return best;
}

void fv_text_wrap(const char *text, int64_t scale, int64_t max_px, fv_text_block *out) {
    out->n = 0;
    while (*text && out->n < FV_TEXT_LINES) {
        size_t n = strcspn(text, "\n");
        if (out->n + 1 < FV_TEXT_LINES && width_of(text, n, scale) > max_px)
            n = break_of(text, n, scale, max_px);
        const bool space = n > 0 && text[n - 1] == ' ';
        fit(text, space ? n - 1 : n, scale, max_px, out->line[out->n++]);
        text += n + (text[n] == '\n');
    }
}

int64_t fv_text_block_width(const fv_text_block *block, int64_t scale) {
    int64_t width = 0;

    for (int i = 0; i < block->n; i++) {
        const int64_t line = fv_text_width(block->line[i], scale);
        width = line > width ? line : width;
    }
    return width;
}

int64_t fv_text_block_height(const fv_text_block *block, int64_t scale) {
    return block->n ? (block->n * (FV_TEXT_PX + FV_TEXT_LINE_GAP_PX) - FV_TEXT_LINE_GAP_PX) * scale
                    : 0;
}

static void fill(fv_image *image, int64_t x0, int64_t y0, int64_t x1, int64_t y1,
                 const uint8_t rgb[3]) {
    for (int64_t y = y0 < 0 ? 0 : y0; y < y1 && y < image->height; y++)
        for (int64_t x = x0 < 0 ? 0 : x0; x < x1 && x < image->width; x++)
            memcpy(image->pixels + 3 * (y * image->width + x), rgb, 3);
}

void fv_text_draw(fv_image *image, int64_t x, int64_t y, const char *text, int64_t scale,
                  const uint8_t rgb[3]) {
    float quads[MAX_QUADS][FLOATS_PER_QUAD];

    for (char c; (c = next_letter(&text)) != '\0'; x += letter_width(c) * scale) {
        const int n = stb_easy_font_print(0, 0, (char[]){c, '\0'}, NULL, quads, sizeof quads);
        for (int i = 0; i < n; i++) { /* corners 0 and 2 are opposite, at whole numbers */
            const float *q = quads[i];
            fill(image, x + (int64_t)q[0] * scale, y + (int64_t)q[1] * scale,
                 x + (int64_t)q[8] * scale, y + (int64_t)q[9] * scale, rgb);
        }
    }
}
