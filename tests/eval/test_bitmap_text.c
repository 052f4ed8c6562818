/* Text in pictures. */
#include "eval/saliency/bitmap_text.h"

#include <criterion/criterion.h>
#include <string.h>

#define H 24
#define W 96

static uint8_t pixels[H * W * 3];
static fv_image page = {pixels, H, W, sizeof pixels};
static const uint8_t black[3] = {0, 0, 0};

static void clear(void) { memset(pixels, 255, sizeof pixels); }

TestSuite(eval_bitmap_text, .init = clear);

static bool inked(int64_t y, int64_t x) { return pixels[3 * (y * W + x)] == 0; }

static int count(void) {
    int n = 0;
    for (int64_t i = 0; i < H * W; i++) n += pixels[3 * i] == 0;
    return n;
}

Test(eval_bitmap_text, letters_are_drawn_and_differ) {
    uint8_t first[sizeof pixels];

    fv_text_draw(&page, 0, 0, "L", 1, black);
    cr_expect_gt(count(), 5);
    memcpy(first, pixels, sizeof first);
    clear();
    fv_text_draw(&page, 0, 0, "T", 1, black);
    cr_expect_neq(memcmp(first, pixels, sizeof first), 0);
}

/* All that can be printed stays within its width and the height of a line, but for its trailing gap. */
Test(eval_bitmap_text, letters_stay_within_their_box) {
    for (char c = 33; c < 127; c++) {
        const char text[] = {c, '\0'};
        const int64_t width = fv_text_width(text, 1);

        clear();
        fv_text_draw(&page, 4, 4, text, 1, black);
        cr_expect_gt(count(), 0, "'%c' is invisible", c);
        for (int64_t y = 0; y < H; y++)
            for (int64_t x = 0; x < W; x++)
                if (inked(y, x))
                    cr_expect(y >= 4 && y < 4 + FV_TEXT_PX && x >= 4 && x < 4 + width, "'%c'", c);
    }
}

Test(eval_bitmap_text, scale_enlarges_every_pixel) {
    bool small[FV_TEXT_PX][W / 2];

    fv_text_draw(&page, 0, 0, "Rg-1.5e", 1, black);
    for (int64_t y = 0; y < FV_TEXT_PX; y++)
        for (int64_t x = 0; x < W / 2; x++) small[y][x] = inked(y, x);
    clear();
    fv_text_draw(&page, 0, 0, "Rg-1.5e", 2, black);
    for (int64_t y = 0; y < 2 * FV_TEXT_PX; y++)
        for (int64_t x = 0; x < W; x++) cr_assert_eq(inked(y, x), small[y / 2][x / 2]);
    cr_expect_eq(fv_text_width("Rg-1.5e", 2), 2 * fv_text_width("Rg-1.5e", 1));
}

Test(eval_bitmap_text, what_lies_outside_is_cut_off) {
    fv_text_draw(&page, -3, -3, "MMMMMMMMMMMMMMMMMMMMMMMMMMMMMMM", 1, black);
    fv_text_draw(&page, W - 2, H - 2, "MM", 1, black);
    fv_text_draw(&page, -1000, 0, "M", 1, black);
    fv_text_draw(&page, 1000, 1000, "M", 3, black);
    cr_expect_gt(count(), 0);
}

/* One question mark per character, however many bytes it has. */
Test(eval_bitmap_text, other_characters_become_question_marks) {
    uint8_t first[sizeof pixels];

    fv_text_draw(&page, 0, 0, "a?b??", 1, black);
    memcpy(first, pixels, sizeof first);
    clear();
    fv_text_draw(&page, 0, 0,
                 "a\xe2\x82\xac"
                 "b\n\x7f",
                 1, black);
    cr_expect_eq(memcmp(first, pixels, sizeof first), 0);
    cr_expect_eq(fv_text_width("\xc3\xa4", 1), fv_text_width("?", 1));
}

Test(eval_bitmap_text, text_that_fits_is_kept) {
    char out[FV_TEXT_BYTES];

    fv_text_fit("gradcam", 2, fv_text_width("gradcam", 2), out);
    cr_expect_str_eq(out, "gradcam");
    fv_text_fit("", 1, 0, out);
    cr_expect_str_eq(out, "");
}

Test(eval_bitmap_text, text_that_does_not_fit_ends_in_dots) {
    const char *text = "lrp:epsilon_plus_flat";
    const int64_t whole = fv_text_width(text, 1);
    char out[FV_TEXT_BYTES];
    size_t before = strlen(text) + 2;

    for (int64_t px = whole - 1; px >= fv_text_width("..", 1); px--) {
        fv_text_fit(text, 1, px, out);
        const size_t n = strlen(out);
        cr_expect_leq(fv_text_width(out, 1), px);
        cr_expect(n >= 2 && strcmp(out + n - 2, "..") == 0, "%s", out);
        cr_expect_eq(strncmp(out, text, n - 2), 0, "%s", out);
        cr_expect_leq(n, before, "less room, less text");
        before = n;
    }
    fv_text_fit(text, 1, fv_text_width("..", 1) - 1, out);
    cr_expect_str_eq(out, "");
    fv_text_fit(text, 1, -5, out);
    cr_expect_str_eq(out, "");
}

Test(eval_bitmap_text, cut_keeps_characters_whole_and_the_buffer) {
    char text[1000] = "", out[FV_TEXT_BYTES];

    for (int i = 0; i < 400; i++) strcat(text, "\xc3\xa4");
    fv_text_fit(text, 1, 1 << 20, out); /* room in pixels, not in bytes */
    const size_t n = strlen(out);
    cr_assert_lt(n, FV_TEXT_BYTES);
    cr_assert_gt(n, FV_TEXT_BYTES - 4);
    cr_expect_str_eq(out + n - 2, "..");
    cr_expect_eq((n - 2) % 2, 0, "half a character");
}

static void wraps(const char *text, int64_t max_px, const char *lines) {
    fv_text_block block;
    char joined[FV_TEXT_LINES * (FV_TEXT_BYTES + 1)] = "";

    fv_text_wrap(text, 1, max_px, &block);
    for (int i = 0; i < block.n; i++) {
        cr_expect_leq(fv_text_width(block.line[i], 1), max_px);
        strcat(strcat(joined, i ? "|" : ""), block.line[i]);
    }
    cr_expect_str_eq(joined, lines, "'%s' within %d: '%s', not '%s'", text, (int)max_px, joined,
                     lines);
}

Test(eval_bitmap_text, long_text_is_broken_where_it_may_be) {
    const int64_t w = fv_text_width("squared:", 1);

    wraps("lrp:cplrp", 1000, "lrp:cplrp");
    wraps("", 1000, "");
    wraps("photo\nbee\np 0.930", 1000, "photo|bee|p 0.930");
    wraps("sg:squared:n=5", w, "sg:|squared:|n=5");
    wraps("two words_or more", w, "two|words_|or more");
    wraps("a\n\nb", 1000, "a||b");
    wraps("1\n2\n3\n4\n5", 1000, "1|2|3|4");
    wraps("abcdefghijklmnop", fv_text_width("abcd..", 1), "abcd..");
    wraps("ab:abcdefghijklmnop", fv_text_width("abcd..", 1), "ab:|abcd..");
}

Test(eval_bitmap_text, a_block_has_the_size_of_its_lines) {
    fv_text_block block;

    fv_text_wrap("", 2, 100, &block);
    cr_expect_eq(fv_text_block_height(&block, 2), 0);
    cr_expect_eq(fv_text_block_width(&block, 2), 0);
    fv_text_wrap("one", 2, 1000, &block);
    cr_expect_eq(fv_text_block_height(&block, 2), 2 * FV_TEXT_PX);
    fv_text_wrap("one\nthree", 2, 1000, &block);
    cr_expect_eq(fv_text_block_height(&block, 2), 2 * (2 * FV_TEXT_PX + FV_TEXT_LINE_GAP_PX));
    cr_expect_eq(fv_text_block_width(&block, 2), fv_text_width("three", 2));
}
