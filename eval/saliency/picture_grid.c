#include "eval/saliency/picture_grid.h"

#include "eval/saliency/bitmap_text.h"

#include <stdio.h>
#include <string.h>

/* In pixels of text scale 1. */
#define GAP_PX   8
#define SPACE_PX 4 /* between a picture and what belongs to it */
#define BAR_PX   6 /* thickness */

#define LARGE_CELL_PX 200 /* from here on text is twice as large */
#define MAX_CELLS     (1 << 20)

static const uint8_t ink[3] = {32, 32, 32};
static const uint8_t frame_grey[3] = {190, 190, 190};

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }

/* ---- numbers at a bar ---- */

typedef struct bar_numbers {
    char text[3][24]; /* low, middle, high; "" when there is nothing to say */
} bar_numbers;

static bar_numbers numbers_of(const fv_heat_range *range) {
    const double values[3] = {range->low, range->low + (range->high - range->low) / 2.0,
                              range->high};
    bar_numbers n = {0};

    for (int i = 0; i < 3; i++) /* + 0: no minus sign at a zero */
        if (i == 1 || range->high > range->low)
            snprintf(n.text[i], sizeof n.text[i], "%.3g", values[i] + 0.0);
    return n;
}

/* The widest of the three. */
static int64_t widest(const bar_numbers *n, int64_t scale) {
    int64_t width = 0;
    for (int i = 0; i < 3; i++) width = most(width, fv_text_width(n->text[i], scale));
    return width;
}

/* Do all three stand side by side within width, the middle one in the middle? */
static bool side_by_side(const bar_numbers *n, int64_t scale, int64_t width) {
    const int64_t side = most(fv_text_width(n->text[0], scale), fv_text_width(n->text[2], scale));
    return 2 * (side + SPACE_PX * scale) + fv_text_width(n->text[1], scale) <= width;
}

/* ---- layout ---- */

static fv_status common_size(const fv_picture_grid *g, const fv_image **out) {
    const fv_image *first = NULL;

    if (g->n_rows < 1 || g->n_columns < 1 || g->n_rows > MAX_CELLS / g->n_columns)
        return FV_FAIL(FV_ERR_SHAPE, "picture grid of %lld rows and %lld columns",
                       (long long)g->n_rows, (long long)g->n_columns);
    for (int64_t i = 0; i < g->n_rows * g->n_columns; i++) {
        const fv_image *image = g->images[i];
        if (!image) continue;
        if (!first) first = image;
        if (image->height != first->height || image->width != first->width)
            return FV_FAIL(FV_ERR_SHAPE, "picture grid: cell %lld is %lldx%lld, others %lldx%lld",
                           (long long)i, (long long)image->height, (long long)image->width,
                           (long long)first->height, (long long)first->width);
    }
    if (!first || first->height < 1 || first->width < 1)
        return FV_FAIL(FV_ERR_SHAPE, "picture grid without a picture");
    *out = first;
    return FV_OK;
}

/* As large as the titles, or small where three numbers would not stand side by side somewhere. */
static int64_t number_scale(const fv_picture_grid *g, const fv_picture_grid_layout *l) {
    for (int64_t i = 0; g->cell_bars && i < g->n_rows * g->n_columns; i++) {
        const bar_numbers n = numbers_of(&g->cell_bars[i].range);
        if (g->cell_bars[i].colormap && !side_by_side(&n, l->text_scale, l->cell_width)) return 1;
    }
    return l->text_scale;
}

static int64_t row_title_width(const fv_picture_grid *g, const fv_picture_grid_layout *l) {
    int64_t width = 0;
    fv_text_block block;

    for (int64_t i = 0; g->row_titles && i < g->n_rows; i++) {
        fv_text_wrap(g->row_titles[i], l->text_scale, l->cell_width, &block);
        width = most(width, fv_text_block_width(&block, l->text_scale));
    }
    return width;
}

/* One line at least. */
static int64_t column_title_height(const fv_picture_grid *g, const fv_picture_grid_layout *l) {
    int64_t height = FV_TEXT_PX * l->text_scale;
    fv_text_block block;

    for (int64_t j = 0; j < g->n_columns; j++) {
        fv_text_wrap(g->column_titles[j], l->text_scale, l->cell_width, &block);
        height = most(height, fv_text_block_height(&block, l->text_scale));
    }
    return height;
}

/* Right of the last cell and its gap: bar, space, numbers, gap. */
static int64_t row_bar_width(const fv_picture_grid *g, const fv_picture_grid_layout *l) {
    int64_t width = 0;
    for (int64_t i = 0; g->row_bars && i < g->n_rows; i++) {
        const bar_numbers n = numbers_of(&g->row_bars[i].range);
        if (g->row_bars[i].colormap) width = most(width, widest(&n, l->text_scale));
    }
    return width ? l->gap + (BAR_PX + SPACE_PX) * l->text_scale + width : 0;
}

fv_status fv_picture_grid_measure(const fv_picture_grid *g, fv_picture_grid_layout *l) {
    const int64_t cell_px =
        g->cell_px ? most(g->cell_px, FV_PICTURE_GRID_MIN_CELL_PX) : FV_PICTURE_GRID_CELL_PX;
    const fv_image *image = NULL;

    FV_TRY(common_size(g, &image));
    l->factor = fv_image_enlarge_factor(image->height, image->width, cell_px);
    l->cell_height = image->height * l->factor;
    l->cell_width = image->width * l->factor;
    l->text_scale = least(l->cell_height, l->cell_width) >= LARGE_CELL_PX ? 2 : 1;
    l->number_scale = number_scale(g, l);
    l->gap = GAP_PX * l->text_scale;

    const int64_t s = l->text_scale, titles = row_title_width(g, l);
    const int64_t below =
        g->cell_bars ? (2 * SPACE_PX + BAR_PX) * s + FV_TEXT_PX * l->number_scale : 0;
    l->left = l->gap + (titles ? titles + SPACE_PX * s : 0);
    l->top = l->gap + (g->column_titles ? column_title_height(g, l) + SPACE_PX * s : 0);
    l->step_x = l->cell_width + l->gap;
    l->step_y = l->cell_height + below + l->gap;
    l->width = l->left + g->n_columns * l->step_x + row_bar_width(g, l);
    l->height = l->top + g->n_rows * l->step_y;
    return FV_OK;
}

/* ---- drawing ---- */

static void set_pixel(fv_image *sheet, int64_t x, int64_t y, const uint8_t rgb[3]) {
    memcpy(sheet->pixels + 3 * (y * sheet->width + x), rgb, 3);
}

/* A line of one pixel around a rectangle: a map that is white at its borders still has an end. */
static void draw_frame(fv_image *sheet, int64_t x, int64_t y, int64_t width, int64_t height) {
    for (int64_t i = -1; i <= width; i++) {
        set_pixel(sheet, x + i, y - 1, frame_grey);
        set_pixel(sheet, x + i, y + height, frame_grey);
    }
    for (int64_t i = 0; i < height; i++) {
        set_pixel(sheet, x - 1, y + i, frame_grey);
        set_pixel(sheet, x + width, y + i, frame_grey);
    }
}

static fv_status draw_picture(fv_image *sheet, const fv_picture_grid_layout *l, int64_t x,
                              int64_t y, const fv_image *image, fv_image *scratch) {
    const size_t row_bytes = (size_t)(3 * l->cell_width);

    FV_TRY(fv_image_enlarge(image, l->factor, scratch));
    for (int64_t i = 0; i < l->cell_height; i++)
        memcpy(sheet->pixels + 3 * ((y + i) * sheet->width + x),
               scratch->pixels + 3 * i * l->cell_width, row_bytes);
    draw_frame(sheet, x, y, l->cell_width, l->cell_height);
    return FV_OK;
}

/* Low at the left, or at the bottom of an upright one. */
static void draw_bar(fv_image *sheet, int64_t x, int64_t y, int64_t width, int64_t height,
                     const fv_colormap *colormap) {
    const bool upright = height > width;
    const double last = (double)((upright ? height : width) - 1);
    fv_colormap_table table;

    fv_colormap_fill(colormap, &table);
    for (int64_t i = 0; i < height; i++)
        for (int64_t j = 0; j < width; j++) {
            const double v = (double)(upright ? height - 1 - i : j) / last;
            set_pixel(sheet, x + j, y + i, table.rgb[fv_colormap_index(v)]);
        }
    draw_frame(sheet, x, y, width, height);
}

/* Below the cell with its corner at (x, y). */
static void draw_cell_bar(fv_image *sheet, const fv_picture_grid_layout *l, int64_t x, int64_t y,
                          const fv_heat_style *style) {
    const int64_t s = l->text_scale, thickness = BAR_PX * s;
    const bar_numbers n = numbers_of(&style->range);

    y += l->cell_height + SPACE_PX * s;
    draw_bar(sheet, x, y, l->cell_width, thickness, style->colormap);
    y += thickness + SPACE_PX * s;
    for (int i = 0; i < 3; i++) {
        const int64_t free_px = l->cell_width - fv_text_width(n.text[i], l->number_scale);
        if (i == 1 && !side_by_side(&n, l->number_scale, l->cell_width)) continue;
        fv_text_draw(sheet, x + i * free_px / 2, y, n.text[i], l->number_scale, ink);
    }
}

/* Right of the last cell of the row that starts at y. */
static void draw_row_bar(fv_image *sheet, const fv_picture_grid_layout *l, int64_t x, int64_t y,
                         const fv_heat_style *style) {
    const int64_t s = l->text_scale, thickness = BAR_PX * s;
    const bar_numbers n = numbers_of(&style->range);

    draw_bar(sheet, x, y, thickness, l->cell_height, style->colormap);
    x += thickness + SPACE_PX * s;
    for (int i = 0; i < 3; i++)
        fv_text_draw(sheet, x, y + (2 - i) * (l->cell_height - FV_TEXT_PX * s) / 2, n.text[i], s,
                     ink);
}

/* halves: of the room that a line leaves, how many lie at its left: 1 centres, 2 aligns right. */
static void draw_block(fv_image *sheet, int64_t x, int64_t y, int64_t width, int halves,
                       const fv_text_block *block, int64_t s) {
    for (int i = 0; i < block->n; i++) {
        const int64_t free_px = width - fv_text_width(block->line[i], s);
        fv_text_draw(sheet, x + halves * free_px / 2, y, block->line[i], s, ink);
        y += (FV_TEXT_PX + FV_TEXT_LINE_GAP_PX) * s;
    }
}

static void draw_titles(fv_image *sheet, const fv_picture_grid *g,
                        const fv_picture_grid_layout *l) {
    const int64_t s = l->text_scale;
    fv_text_block block;

    for (int64_t j = 0; g->column_titles && j < g->n_columns; j++) { /* centred, on the cell */
        fv_text_wrap(g->column_titles[j], s, l->cell_width, &block);
        const int64_t y = l->top - SPACE_PX * s - fv_text_block_height(&block, s);
        draw_block(sheet, l->left + j * l->step_x, y, l->cell_width, 1, &block, s);
    }
    for (int64_t i = 0; g->row_titles && i < g->n_rows; i++) { /* right-aligned beside the cell */
        fv_text_wrap(g->row_titles[i], s, l->cell_width, &block);
        const int64_t free_px = l->cell_height - fv_text_block_height(&block, s);
        draw_block(sheet, l->gap, l->top + i * l->step_y + free_px / 2,
                   l->left - SPACE_PX * s - l->gap, 2, &block, s);
    }
}

fv_status fv_picture_grid_draw(const fv_picture_grid *g, fv_image *sheet) {
    fv_picture_grid_layout l;
    fv_image scratch = {0};

    FV_TRY(fv_picture_grid_measure(g, &l));
    fv_status status = fv_image_reshape(sheet, l.height, l.width);
    if (status == FV_OK) memset(sheet->pixels, 255, (size_t)(3 * l.height * l.width));
    for (int64_t i = 0; status == FV_OK && i < g->n_rows * g->n_columns; i++) {
        const int64_t x = l.left + i % g->n_columns * l.step_x;
        const int64_t y = l.top + i / g->n_columns * l.step_y;
        if (!g->images[i]) continue;
        status = draw_picture(sheet, &l, x, y, g->images[i], &scratch);
        if (status == FV_OK && g->cell_bars && g->cell_bars[i].colormap)
            draw_cell_bar(sheet, &l, x, y, &g->cell_bars[i]);
    }
    for (int64_t i = 0; status == FV_OK && g->row_bars && i < g->n_rows; i++)
        if (g->row_bars[i].colormap)
            draw_row_bar(sheet, &l, l.left + g->n_columns * l.step_x, l.top + i * l.step_y,
                         &g->row_bars[i]);
    if (status == FV_OK) draw_titles(sheet, g, &l);
    fv_image_release(&scratch);
    return status;
}
