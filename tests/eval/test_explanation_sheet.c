/* Maps side by side, read back from their files. */
#include "eval/saliency/explanation_sheet.h"

#include "core/alloc.h"
#include "core/file.h"
#include "eval/saliency/picture_grid.h"
#include "tests/support/alloc_sweep.h"
#include "tests/support/picture.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define SIDE    16
#define METHODS 3

static char root[64];
static fv_arena arena;
static fv_image *picture;
static fv_explanation_looks looks;
static fv_explanation_sheet *sheet;
static fv_explanation_files files[METHODS];

static const fv_saliency_method signed_method = {.name = "s", .has_sign = true},
                                unsigned_method = {.name = "u"};
static const fv_saliency_choice methods[METHODS] = {{.text = "s:a", .method = &signed_method},
                                                    {.text = "s:b", .method = &signed_method},
                                                    {.text = "u", .method = &unsigned_method}};

/* Values of one map: +-scale. */
static void write_map(int m, float scale) {
    float map[SIDE * SIDE];
    const fv_safetensors_item item = {"map", {map, FV_F32, fv_shape_of(2, SIDE, SIDE)}};
    const fv_safetensors_meta meta[] = {
        {"target", "3"}, {"target_name", "bee"}, {"probability", "0.25"}};

    for (int i = 0; i < SIDE * SIDE; i++) map[i] = scale * ((float)i / (SIDE * SIDE / 2.0f) - 1.0f);
    cr_assert_eq(fv_explanation_name(root, "one", methods[m].text, &arena, &files[m]), FV_OK);
    cr_assert_eq(fv_safetensors_save(files[m].raw, &item, 1, meta, 3), FV_OK);
}

static void enter(void) {
    test_folder_enter(root);
    picture = test_pattern(SIDE, SIDE);
    looks = fv_explanation_looks_usual;
    looks.with_sign.norm = &fv_heat_norm_max;
    looks.with_sign.parameter = 0.0;
    for (int m = 0; m < METHODS; m++) write_map(m, (float)(m + 1));
    cr_assert_eq(fv_explanation_sheet_create(methods, METHODS, &looks, 2, &sheet), FV_OK);
}

static void leave(void) {
    fv_alloc_fail_at(0);
    fv_explanation_sheet_destroy(sheet);
    fv_image_destroy(picture);
    fv_arena_destroy(&arena);
    test_folder_leave(root);
}

TestSuite(eval_explanation_sheet, .init = enter, .fini = leave);

static void add(const char *name) {
    cr_assert_eq(fv_explanation_sheet_add(sheet, picture, name, files), FV_OK, "%s",
                 fv_error_message());
}

static fv_image *saved(const char *name) {
    fv_image *image = NULL;
    const char *path = fv_arena_printf(&arena, "%s/%s.png", root, name);

    cr_assert_eq(fv_explanation_sheet_save(sheet, path), FV_OK, "%s", fv_error_message());
    cr_assert_eq(fv_image_load(path, &image), FV_OK, "%s", fv_error_message());
    return image;
}

/* The grid that a sheet of one row has to be. */
static void expect_row(const fv_image *got, const fv_heat_range range[METHODS], const char *title) {
    const char *const columns[] = {"image", "s:a", "s:b", "u"};
    fv_image cell[METHODS + 1] = {{0}}, wanted = {0};
    const fv_image *cells[METHODS + 1] = {picture};
    fv_heat_style bars[METHODS + 1] = {{0}};

    for (int m = 0; m < METHODS; m++) {
        float map[SIDE * SIDE];
        for (int i = 0; i < SIDE * SIDE; i++)
            map[i] = (float)(m + 1) * ((float)i / (SIDE * SIDE / 2.0f) - 1.0f);
        bars[m + 1] = (fv_heat_style){m < 2 ? &fv_colormap_bwr : &fv_colormap_viridis, range[m]};
        cr_assert_eq(fv_heat_paint(map, SIDE, SIDE, &bars[m + 1], &cell[m + 1]), FV_OK);
        cells[m + 1] = &cell[m + 1];
    }
    const fv_picture_grid grid = {.n_rows = 1,
                                  .n_columns = METHODS + 1,
                                  .images = cells,
                                  .row_titles = &title,
                                  .column_titles = columns,
                                  .cell_bars = bars};
    cr_assert_eq(fv_picture_grid_draw(&grid, &wanted), FV_OK);
    cr_assert_eq(got->height, wanted.height);
    cr_assert_eq(got->width, wanted.width);
    cr_expect_eq(memcmp(got->pixels, wanted.pixels, (size_t)(3 * got->height * got->width)), 0);
    fv_image_release(&wanted);
    for (int m = 0; m < METHODS; m++) fv_image_release(&cell[m + 1]);
}

Test(eval_explanation_sheet, every_map_has_its_own_range) {
    const double high = 3.0 * (255.0 / 128.0 - 1.0);
    const fv_heat_range range[] = {{-1, 1, true}, {-2, 2, true}, {-3, high, false}};

    add(NULL);
    fv_image *got = saved("one_grid");
    expect_row(got, range, "bee\np 0.250");
    fv_image_destroy(got);
}

/* Maps with sign share one range; that of a map without stays out of it. */
Test(eval_explanation_sheet, shared_ranges_are_per_sign) {
    const double high = 3.0 * (255.0 / 128.0 - 1.0);
    const fv_heat_range range[] = {{-2, 2, true}, {-2, 2, true}, {-3, high, false}};

    looks.shared_scale = true;
    add("one");
    fv_image *got = saved("one_grid");
    expect_row(got, range, "one\nbee\np 0.250");
    fv_image_destroy(got);
}

Test(eval_explanation_sheet, is_used_again_and_gives_the_same_bytes) {
    uint8_t *bytes[2];
    size_t n[2];

    for (int i = 0; i < 2; i++) {
        fv_explanation_sheet_clear(sheet);
        cr_expect_eq(fv_explanation_sheet_rows(sheet), 0);
        add("one");
        add("two");
        cr_expect_eq(fv_explanation_sheet_rows(sheet), 2);
        fv_image_destroy(saved("sheet"));
        const char *path = fv_arena_printf(&arena, "%s/sheet.png", root);
        cr_assert_eq(fv_file_read(path, 1 << 24, &bytes[i], &n[i]), FV_OK);
    }
    cr_assert_eq(n[0], n[1]);
    cr_expect_eq(memcmp(bytes[0], bytes[1], n[0]), 0);
    fv_free(bytes[0]);
    fv_free(bytes[1]);
}

static void add_fails(fv_status wanted, const char *part) {
    cr_expect_eq(fv_explanation_sheet_add(sheet, picture, "x", files), wanted, "%s",
                 fv_error_message());
    cr_expect(strstr(fv_error_message(), part), "%s", fv_error_message());
    cr_expect_eq(fv_explanation_sheet_rows(sheet), 0);
}

Test(eval_explanation_sheet, bad_files_add_no_row) {
    const float map[4] = {0};
    const fv_safetensors_item item = {"map", {(void *)map, FV_F32, fv_shape_of(2, 2, 2)}};

    cr_assert_eq(fv_safetensors_save(files[1].raw, &item, 1, NULL, 0), FV_OK);
    add_fails(FV_ERR_SHAPE, files[1].raw);
    write_map(1, 1.0f);
    test_write(files[0].raw, "torn", 4);
    add_fails(FV_ERR_FORMAT, files[0].raw);
    remove(files[0].raw);
    add_fails(FV_ERR_NOT_FOUND, files[0].raw);
    write_map(0, 1.0f);
    write_map(2, (float)INFINITY);
    add_fails(FV_ERR_NONFINITE, "");
}

Test(eval_explanation_sheet, holds_as_many_rows_as_it_was_made_for) {
    cr_expect_neq(fv_explanation_sheet_save(sheet, "/nowhere/x.png"), FV_OK, "no rows");
    add("one");
    add("two");
    cr_expect_eq(fv_explanation_sheet_add(sheet, picture, "x", files), FV_ERR_SHAPE);
    cr_expect_neq(fv_explanation_sheet_save(sheet, "/nowhere/x.png"), FV_OK);
    cr_expect(strstr(fv_error_message(), "/nowhere/x.png"), "%s", fv_error_message());
}

static fv_status work(void *arg) {
    fv_explanation_sheet *s = NULL;

    fv_status status = fv_explanation_sheet_create(methods, METHODS, &looks, 2, &s);
    if (status == FV_OK) status = fv_explanation_sheet_add(s, picture, "one", files);
    if (status == FV_OK) status = fv_explanation_sheet_save(s, arg);
    fv_explanation_sheet_destroy(s);
    return status;
}

Test(eval_explanation_sheet, failing_allocations_are_reported) {
    alloc_sweep_result result;

    cr_assert_eq(alloc_sweep(work, fv_arena_printf(&arena, "%s/x.png", root), &result), FV_OK, "%s",
                 fv_error_message());
    cr_expect_gt(result.failures, 10);
}
