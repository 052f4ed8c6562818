#include "eval/saliency/bitmap_text.h"

#include <stb/stb_easy_font.h>
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

int64_t fv_text_width(const char *text, int64_t scale) {
    int64_t width = 0;
    for (char c; (c = next_letter(&text)) != '\0';) width += letter_width(c);
    return width * scale;
}

void fv_text_fit(const char *text, int64_t scale, int64_t max_px, char out[FV_TEXT_BYTES]) {
    const int64_t dots = fv_text_width("..", scale);
    size_t n = strlen(text);

    out[0] = '\0';
    if (n < FV_TEXT_BYTES && fv_text_width(text, scale) <= max_px) {
        memcpy(out, text, n + 1);
        return;
    }
    if (dots > max_px) return;
    int64_t width = dots;
    n = 0;
    for (const char *end = text;;) {
        const char letter = next_letter(&end);
        width += letter ? letter_width(letter) * scale : 0;
        if (!letter || width > max_px || end - text > FV_TEXT_BYTES - 3) break;
        n = (size_t)(end - text);
    }
    memcpy(out, text, n);
    memcpy(out + n, "..", 3);
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
