/* Contact sheets: where things are, that they are there, and what is refused. */
#include "core/alloc.h"
#include "eval/saliency/bitmap_text.h"
#include "eval/saliency/picture_grid.h"
#include "tests/support/alloc_sweep.h"
#include "tests/support/picture.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#define ROWS    2
#define COLUMNS 3

static fv_image *pictures[ROWS * COLUMNS];
static const fv_image *cells[ROWS * COLUMNS];
static const char *const row_titles[ROWS] = {"lrp", "gradcam"};
static const char *const column_titles[COLUMNS] = {"one", "two", "three"};
static const fv_heat_style style = {&fv_colormap_bwr, {-0.5, 0.5, true}};
static fv_heat_style cell_bars[ROWS * COLUMNS], row_bars[ROWS];
static fv_image sheet;

static void setup(void) {
    for (int i = 0; i < ROWS * COLUMNS; i++) {
        cells[i] = pictures[i] = test_pattern(32, 48);
        pictures[i]->pixels[0] = (uint8_t)(10 * i);
        cell_bars[i] = style;
    }
    for (int i = 0; i < ROWS; i++) row_bars[i] = style;
}

static void teardown(void) {
    for (int i = 0; i < ROWS * COLUMNS; i++) fv_image_destroy(pictures[i]);
    fv_image_release(&sheet);
}

TestSuite(eval_picture_grid, .init = setup, .fini = teardown);

static fv_picture_grid bare(void) {
    return (fv_picture_grid){.n_rows = ROWS, .n_columns = COLUMNS, .images = cells};
}

static fv_picture_grid full(void) {
    fv_picture_grid g = bare();
    g.row_titles = row_titles;
    g.column_titles = column_titles;
    g.row_bars = row_bars;
    g.cell_bars = cell_bars;
    return g;
}

static fv_picture_grid_layout measured(const fv_picture_grid *g) {
    fv_picture_grid_layout l;
    cr_assert_eq(fv_picture_grid_measure(g, &l), FV_OK, "%s", fv_error_message());
    return l;
}

static void draw(const fv_picture_grid *g) {
    cr_assert_eq(fv_picture_grid_draw(g, &sheet), FV_OK, "%s", fv_error_message());
}

static const uint8_t *pixel(int64_t y, int64_t x) {
    return sheet.pixels + 3 * (y * sheet.width + x);
}

/* Pixels of a rectangle that are not white. */
static int64_t drawn(int64_t y0, int64_t x0, int64_t height, int64_t width) {
    int64_t n = 0;
    cr_assert(y0 >= 0 && x0 >= 0 && y0 + height <= sheet.height && x0 + width <= sheet.width);
    for (int64_t y = y0; y < y0 + height; y++)
        for (int64_t x = x0; x < x0 + width; x++) n += memcmp(pixel(y, x), "\xff\xff\xff", 3) != 0;
    return n;
}

Test(eval_picture_grid, bare_cells_and_gaps_add_up) {
    const fv_picture_grid g = bare();
    const fv_picture_grid_layout l = measured(&g);

    cr_expect_eq(l.factor, 7); /* 32 -> 224 */
    cr_expect_eq(l.cell_height, 224);
    cr_expect_eq(l.cell_width, 336);
    cr_expect_eq(l.text_scale, 2);
    cr_expect_eq(l.top, l.gap);
    cr_expect_eq(l.left, l.gap);
    cr_expect_eq(l.height, 2 * 224 + 3 * l.gap);
    cr_expect_eq(l.width, 3 * 336 + 4 * l.gap);
    draw(&g);
    cr_expect_eq(sheet.height, l.height);
    cr_expect_eq(sheet.width, l.width);
}

Test(eval_picture_grid, every_part_takes_its_room) {
    fv_picture_grid g = bare();
    const fv_picture_grid_layout l = measured(&g);

    g.row_titles = row_titles;
    fv_picture_grid_layout with = measured(&g);
    cr_expect_geq(with.left, l.left + fv_text_width("gradcam", 2));
    cr_expect_eq(with.width - with.left, l.width - l.left);
    cr_expect_eq(with.height, l.height);

    g = bare();
    g.column_titles = column_titles;
    with = measured(&g);
    cr_expect_geq(with.top, l.top + 2 * FV_TEXT_PX);
    cr_expect_eq(with.height - with.top, l.height - l.top);
    cr_expect_eq(with.width, l.width);

    g = bare();
    g.row_bars = row_bars;
    with = measured(&g);
    cr_expect_geq(with.width, l.width + fv_text_width("-0.5", 2));
    cr_expect_eq(with.height, l.height);

    g = bare();
    g.cell_bars = cell_bars;
    with = measured(&g);
    cr_expect_eq(with.step_x, l.step_x);
    cr_expect_geq(with.step_y, l.step_y + 2 * FV_TEXT_PX);
    cr_expect_eq(with.height, with.top + ROWS * with.step_y);
}

Test(eval_picture_grid, size_of_cells_is_a_choice_with_a_floor) {
    fv_picture_grid g = bare();

    g.cell_px = 150;
    cr_expect_eq(measured(&g).factor, 5);
    cr_expect_eq(measured(&g).text_scale, 1);
    g.cell_px = 1;
    cr_expect_eq(measured(&g).cell_height, FV_PICTURE_GRID_MIN_CELL_PX);
}

/* Every pixel of every picture is a square of the sheet. */
Test(eval_picture_grid, pictures_are_where_the_layout_says) {
    const fv_picture_grid g = full();
    const fv_picture_grid_layout l = measured(&g);

    draw(&g);
    for (int64_t k = 0; k < ROWS * COLUMNS; k++)
        for (int64_t y = 0; y < l.cell_height; y++)
            for (int64_t x = 0; x < l.cell_width; x++) {
                const uint8_t *p =
                    pixel(l.top + k / COLUMNS * l.step_y + y, l.left + k % COLUMNS * l.step_x + x);
                const uint8_t *q = pictures[k]->pixels + 3 * (y / l.factor * 48 + x / l.factor);
                cr_assert_eq(memcmp(p, q, 3), 0, "cell %d at %d, %d", (int)k, (int)y, (int)x);
            }
}

Test(eval_picture_grid, titles_and_numbers_are_there) {
    fv_picture_grid g = full();
    const fv_picture_grid_layout l = measured(&g);
    const int64_t text = FV_TEXT_PX * l.text_scale;

    draw(&g);
    for (int64_t j = 0; j < COLUMNS; j++)
        cr_expect_gt(drawn(l.gap, l.left + j * l.step_x, text, l.cell_width), 20);
    for (int64_t i = 0; i < ROWS; i++)
        cr_expect_gt(drawn(l.top + i * l.step_y, l.gap, l.cell_height, l.left - l.gap - 2), 20);
    for (int64_t k = 0; k < ROWS * COLUMNS; k++) { /* low, middle and high below each cell */
        const int64_t x = l.left + k % COLUMNS * l.step_x;
        const int64_t y = l.top + (k / COLUMNS + 1) * l.step_y - l.gap - text;
        for (int third = 0; third < 3; third++)
            cr_expect_gt(drawn(y, x + third * l.cell_width / 3, text, l.cell_width / 3), 5);
    }
    const int64_t bars = l.left + COLUMNS * l.step_x + 10 * l.text_scale; /* right of them */
    for (int64_t i = 0; i < ROWS; i++)
        for (int third = 0; third < 3; third++)
            cr_expect_gt(drawn(l.top + i * l.step_y + third * l.cell_height / 3, bars,
                               l.cell_height / 3, l.width - l.gap - bars),
                         5);
}

/* The margin is white all around. */
Test(eval_picture_grid, nothing_is_drawn_on_the_margin) {
    fv_picture_grid g = full();
    const fv_picture_grid_layout l = measured(&g);
    const int64_t m = l.gap - 1; /* the frame of a cell takes one */

    draw(&g);
    cr_expect_eq(drawn(0, 0, m, l.width), 0);
    cr_expect_eq(drawn(l.height - m, 0, m, l.width), 0);
    cr_expect_eq(drawn(0, 0, l.height, m), 0);
    cr_expect_eq(drawn(0, l.width - m, l.height, m), 0);
}

/* The bar runs from the colour of the low end to that of the high one: left to right, bottom to top. */
Test(eval_picture_grid, bars_show_the_colour_map) {
    fv_picture_grid g = full();
    const fv_picture_grid_layout l = measured(&g);
    const uint8_t blue[3] = {0, 0, 255}, red[3] = {255, 0, 0};

    draw(&g);
    const int64_t y = l.top + l.cell_height + 5 * l.text_scale;
    cr_expect_eq(memcmp(pixel(y, l.left), blue, 3), 0);
    cr_expect_eq(memcmp(pixel(y, l.left + l.cell_width - 1), red, 3), 0);
    const int64_t x = l.left + COLUMNS * l.step_x + l.text_scale;
    cr_expect_eq(memcmp(pixel(l.top, x), red, 3), 0);
    cr_expect_eq(memcmp(pixel(l.top + l.cell_height - 1, x), blue, 3), 0);
}

/* -0.5 has a stroke more than 0.5: the low end's number is at the left, and at the bottom. */
Test(eval_picture_grid, numbers_stand_at_their_ends) {
    fv_picture_grid g = full();
    const fv_picture_grid_layout l = measured(&g);
    const int64_t text = FV_TEXT_PX * l.text_scale, third = l.cell_width / 3;

    draw(&g);
    const int64_t y = l.top + l.step_y - l.gap - text;
    cr_expect_gt(drawn(y, l.left, text, third), drawn(y, l.left + 2 * third, text, third));
    const int64_t x = l.left + COLUMNS * l.step_x + 10 * l.text_scale, width = l.width - l.gap - x;
    cr_expect_gt(drawn(l.top + l.cell_height - text, x, text, width), drawn(l.top, x, text, width));
}

/* What is cut leaves its neighbours and the margin alone: two long titles that differ in their ends only
 * give one picture. */
Test(eval_picture_grid, long_titles_are_cut) {
    char a[400], b[400];
    fv_picture_grid g = bare();
    fv_image first = {0};

    memset(a, 'w', sizeof a);
    a[sizeof a - 1] = '\0';
    memcpy(b, a, sizeof b);
    memset(b + 200, 'x', 100);
    g.column_titles = (const char *[]){a, "two", "three"};
    g.row_titles = (const char *[]){a, "gradcam"};
    const fv_picture_grid_layout l = measured(&g);
    cr_expect_leq(l.left, l.cell_width + 2 * l.gap);
    cr_assert_eq(fv_picture_grid_draw(&g, &first), FV_OK);
    g.column_titles = (const char *[]){b, "two", "three"};
    g.row_titles = (const char *[]){b, "gradcam"};
    draw(&g);
    cr_assert_eq(sheet.width, first.width);
    cr_expect_eq(memcmp(sheet.pixels, first.pixels, (size_t)(3 * sheet.height * sheet.width)), 0);
    cr_expect_eq(drawn(l.gap, l.left + l.cell_width, 2 * FV_TEXT_PX, l.gap), 0, "between titles");
    cr_expect_eq(drawn(l.top + 1, 0, l.cell_height - 2, l.gap - 1), 0, "left margin");
    fv_image_release(&first);
}

/* Column titles of several lines stand on their cells and take the room above; row titles are in the middle
 * of theirs. */
Test(eval_picture_grid, titles_of_several_lines) {
    fv_picture_grid g = bare();

    g.column_titles = (const char *[]){"one", "one\ntwo", "one"};
    g.row_titles = (const char *[]){"a\nb\nc", "a"};
    const fv_picture_grid_layout l = measured(&g);
    const int64_t line = FV_TEXT_PX * l.text_scale,
                  step = line + FV_TEXT_LINE_GAP_PX * l.text_scale;
    cr_expect_eq(l.top, l.gap + step + line + 4 * l.text_scale);
    draw(&g);
    cr_expect_eq(drawn(l.gap, l.left, line, l.cell_width), 0, "one line: near the cell");
    cr_expect_gt(drawn(l.gap + step, l.left, line, l.cell_width), 10);
    cr_expect_gt(drawn(l.gap, l.left + l.step_x, line, l.cell_width), 10);
    cr_expect_gt(drawn(l.gap + step, l.left + l.step_x, line, l.cell_width), 10);
    const int64_t y = l.top + (l.cell_height - 2 * step - line) / 2;
    for (int i = 0; i < 3; i++)
        cr_expect_gt(drawn(y + i * step, l.gap, line, l.left - l.gap - 2), 5);
    cr_expect_eq(drawn(l.top + 1, l.gap, y - l.top - 2, l.left - l.gap - 2), 0);
}

Test(eval_picture_grid, the_same_input_gives_the_same_bytes) {
    const fv_picture_grid g = full();
    fv_image first = {0};
    uint8_t *a = NULL, *b = NULL;
    size_t n_a, n_b;

    cr_assert_eq(fv_picture_grid_draw(&g, &first), FV_OK);
    cr_assert_eq(fv_image_reshape(&sheet, first.height, first.width), FV_OK);
    memset(sheet.pixels, 7, (size_t)(3 * first.height * first.width)); /* of an earlier sheet */
    draw(&g);
    cr_assert_eq(fv_image_encode_png(&first, &a, &n_a), FV_OK);
    cr_assert_eq(fv_image_encode_png(&sheet, &b, &n_b), FV_OK);
    cr_assert_eq(n_a, n_b);
    cr_expect_eq(memcmp(a, b, n_a), 0);
    fv_free(a);
    fv_free(b);
    fv_image_release(&first);
}

Test(eval_picture_grid, empty_cells_and_left_out_bars_stay_white) {
    fv_picture_grid g = full();

    cells[4] = NULL;
    row_bars[1].colormap = NULL;
    cell_bars[0].colormap = NULL;
    const fv_picture_grid_layout l = measured(&g);
    draw(&g);
    cr_expect_eq(drawn(l.top + l.step_y, l.left + l.step_x, l.step_y - l.gap, l.cell_width), 0);
    cr_expect_eq(
        drawn(l.top + l.cell_height + 1, l.left, l.step_y - l.cell_height - 2, l.cell_width), 0);
    const int64_t right = l.left + COLUMNS * l.step_x;
    cr_expect_eq(drawn(l.top + l.step_y, right, l.cell_height, l.width - right), 0);
    cr_expect_gt(drawn(l.top, right, l.cell_height, l.width - right), 0);
}

/* A zero map: one number, in the middle. */
Test(eval_picture_grid, range_without_width_has_one_number) {
    fv_picture_grid g = {.n_rows = 1, .n_columns = 1, .images = cells, .cell_bars = cell_bars};

    cell_bars[0].range = (fv_heat_range){-0.0, 0.0, true};
    const fv_picture_grid_layout l = measured(&g);
    draw(&g);
    const int64_t text = FV_TEXT_PX * l.number_scale, y = l.height - l.gap - text;
    const int64_t zero = fv_text_width("0", l.number_scale);
    cr_expect_eq(drawn(y, l.left, text, (l.cell_width - zero) / 2), 0);
    cr_expect_gt(drawn(y, l.left + (l.cell_width - zero) / 2, text, zero), 5);
}

Test(eval_picture_grid, zero_has_no_minus_sign) {
    fv_picture_grid g = {.n_rows = 1, .n_columns = 1, .images = cells, .row_bars = row_bars};
    fv_image first = {0};

    row_bars[0].range = (fv_heat_range){0.0, 1.0, false};
    cr_assert_eq(fv_picture_grid_draw(&g, &first), FV_OK);
    row_bars[0].range.low = -0.0;
    draw(&g);
    cr_assert_eq(sheet.width, first.width);
    cr_expect_eq(memcmp(sheet.pixels, first.pixels, (size_t)(3 * sheet.height * sheet.width)), 0);
    fv_image_release(&first);
}

/* Long numbers: smaller rather than over one another, and the middle one goes when even that is too wide. */
Test(eval_picture_grid, long_numbers_shrink) {
    fv_picture_grid g = {.n_rows = 1, .n_columns = 1, .images = cells, .cell_bars = cell_bars};

    cr_assert_eq(fv_image_reshape(pictures[0], 32, 32), FV_OK);
    memset(pictures[0]->pixels, 0, 3 * 32 * 32);
    cr_expect_eq(measured(&g).number_scale, 2);
    cell_bars[0].range = (fv_heat_range){-1.2345e-8, 9.8765e-5, false};
    cr_expect_eq(measured(&g).number_scale, 1);

    g.cell_px = 128;
    const fv_picture_grid_layout l = measured(&g);
    draw(&g);
    const int64_t y = l.height - l.gap - FV_TEXT_PX, low = fv_text_width("-1.23e-08", 1);
    const int64_t high = fv_text_width("9.88e-05", 1);
    cr_expect_gt(drawn(y, l.left, FV_TEXT_PX, low), 20);
    cr_expect_eq(drawn(y, l.left + low, FV_TEXT_PX, l.cell_width - low - high), 0);
    cr_expect_gt(drawn(y, l.left + l.cell_width - high, FV_TEXT_PX, high), 20);
}

Test(eval_picture_grid, bad_grids_are_refused) {
    fv_picture_grid g = full();
    fv_picture_grid_layout l;

    g.n_rows = 0;
    cr_expect_eq(fv_picture_grid_draw(&g, &sheet), FV_ERR_SHAPE);
    g = full();
    g.n_columns = -1;
    cr_expect_eq(fv_picture_grid_draw(&g, &sheet), FV_ERR_SHAPE);
    g = full();
    g.n_rows = g.n_columns = INT64_MAX;
    cr_expect_eq(fv_picture_grid_measure(&g, &l), FV_ERR_SHAPE);
    g = full();
    g.cell_px = 100000; /* beyond what an image may be */
    cr_expect_eq(fv_picture_grid_draw(&g, &sheet), FV_ERR_UNSUPPORTED);
    g = full();
    cr_assert_eq(fv_image_reshape(pictures[3], 16, 48), FV_OK);
    cr_expect_eq(fv_picture_grid_draw(&g, &sheet), FV_ERR_SHAPE);
    cr_expect(strstr(fv_error_message(), "16x48"));
    memset(cells, 0, sizeof cells);
    cr_expect_eq(fv_picture_grid_draw(&g, &sheet), FV_ERR_SHAPE);
}

static fv_status work(void *arg) {
    fv_image out = {0};
    const fv_status status = fv_picture_grid_draw(arg, &out);
    fv_image_release(&out);
    return status;
}

Test(eval_picture_grid, failing_allocations_are_reported) {
    fv_picture_grid g = full();
    alloc_sweep_result result;

    cr_assert_eq(alloc_sweep(work, &g, &result), FV_OK, "%s", fv_error_message());
    cr_expect_eq(result.failures, 2); /* the sheet, an enlarged picture */
}
