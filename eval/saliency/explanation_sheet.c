#include "eval/saliency/explanation_sheet.h"

#include "core/alloc.h"
#include "eval/saliency/picture_grid.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TITLE_BYTES 256

/* The picture and the maps of one image. */
typedef struct row {
    fv_image *cell;     /* [1 + n_methods] */
    fv_heat_style *bar; /* [1 + n_methods]; the picture has none */
    char title[TITLE_BYTES];
} row;

struct fv_explanation_sheet {
    const fv_saliency_choice *methods;
    int n_methods;
    const fv_explanation_looks *looks;
    row *rows;
    int64_t n_rows, max_rows;
    fv_arena arena; /* the maps of one image, while they are painted */
};

fv_status fv_explanation_sheet_create(const fv_saliency_choice *methods, int n_methods,
                                      const fv_explanation_looks *looks, int64_t max_rows,
                                      fv_explanation_sheet **out) {
    const size_t columns = (size_t)n_methods + 1;
    fv_explanation_sheet *sheet = fv_calloc(1, sizeof *sheet);

    *out = NULL;
    if (!sheet) return FV_ERR_NOMEM;
    *sheet = (fv_explanation_sheet){
        .methods = methods, .n_methods = n_methods, .looks = looks, .max_rows = max_rows};
    sheet->rows = fv_calloc((size_t)max_rows, sizeof *sheet->rows);
    bool ready = sheet->rows != NULL;
    for (int64_t i = 0; ready && i < max_rows; i++) {
        sheet->rows[i].cell = fv_calloc(columns, sizeof *sheet->rows[i].cell);
        sheet->rows[i].bar = fv_calloc(columns, sizeof *sheet->rows[i].bar);
        ready = sheet->rows[i].cell && sheet->rows[i].bar;
    }
    if (!ready) {
        fv_explanation_sheet_destroy(sheet);
        return FV_ERR_NOMEM;
    }
    *out = sheet;
    return FV_OK;
}

void fv_explanation_sheet_destroy(fv_explanation_sheet *sheet) {
    if (!sheet) return;
    for (int64_t i = 0; sheet->rows && i < sheet->max_rows; i++) {
        for (int j = 0; sheet->rows[i].cell && j <= sheet->n_methods; j++)
            fv_image_release(&sheet->rows[i].cell[j]);
        fv_free(sheet->rows[i].cell);
        fv_free(sheet->rows[i].bar);
    }
    fv_free(sheet->rows);
    fv_arena_destroy(&sheet->arena);
    fv_free(sheet);
}

int64_t fv_explanation_sheet_rows(const fv_explanation_sheet *sheet) { return sheet->n_rows; }
void fv_explanation_sheet_clear(fv_explanation_sheet *sheet) { sheet->n_rows = 0; }

/* ---- a row ---- */

/* "photo\nbee\np 0.930", from a raw file. */
static fv_status make_title(const fv_safetensors *st, const char *name, char title[TITLE_BYTES]) {
    const char *target = fv_safetensors_metadata(st, "target");
    const char *target_name = fv_safetensors_metadata(st, "target_name");
    const char *probability = fv_safetensors_metadata(st, "probability");

    if (!target || !target_name || !probability)
        return FV_FAIL(FV_ERR_FORMAT, "%s: no explanation", fv_safetensors_path(st));
    snprintf(title, TITLE_BYTES, "%.80s%s%s%.80s\np %.3f", name ? name : "", name ? "\n" : "",
             target_name[0] ? "" : "class ", target_name[0] ? target_name : target,
             strtod(probability, NULL));
    return FV_OK;
}

/* title may be NULL. */
static fv_status read_map(const char *path, const fv_image *picture, const char *name,
                          fv_arena *arena, const float **map, char *title) {
    fv_safetensors *st = NULL;
    fv_tensor t = {0};

    FV_TRY(fv_safetensors_open(path, &st));
    fv_status status = fv_safetensors_load_f32(st, "map", arena, &t);
    if (status == FV_OK && (t.shape.rank != 2 || t.shape.dim[0] != picture->height ||
                            t.shape.dim[1] != picture->width))
        status = FV_FAIL(FV_ERR_SHAPE, "%s: the map is not of the picture's size, %lldx%lld", path,
                         (long long)picture->height, (long long)picture->width);
    if (status == FV_OK && title) status = make_title(st, name, title);
    fv_safetensors_close(st);
    *map = t.data;
    return status;
}

/* One range for the maps with sign, one for those without. */
static void share_ranges(const fv_explanation_sheet *sheet, fv_heat_style *bar) {
    for (int is_signed = 0; is_signed < 2; is_signed++) {
        const fv_heat_style *first = NULL;
        fv_heat_range all = {0};
        for (int m = 0; m < sheet->n_methods; m++) {
            if (bar[m].range.is_signed != (bool)is_signed) continue;
            all = first ? fv_heat_range_union(all, bar[m].range) : bar[m].range;
            first = &bar[m];
        }
        for (int m = 0; m < sheet->n_methods; m++)
            if (bar[m].range.is_signed == (bool)is_signed) bar[m].range = all;
    }
}

static fv_status fill_row(fv_explanation_sheet *sheet, row *r, const fv_image *picture,
                          const char *name, const fv_explanation_files files[]) {
    const int64_t height = picture->height, width = picture->width;
    const float **map = fv_arena_alloc(&sheet->arena, (size_t)sheet->n_methods, sizeof *map);

    if (!map) return FV_ERR_NOMEM;
    for (int m = 0; m < sheet->n_methods; m++) {
        const fv_explanation_look *look = fv_explanation_look_of(sheet->looks, &sheet->methods[m]);
        FV_TRY(read_map(files[m].raw, picture, name, &sheet->arena, &map[m],
                        m == 0 ? r->title : NULL));
        FV_TRY(fv_explanation_look_style(look, map[m], height * width, &r->bar[m + 1]));
    }
    if (sheet->looks && sheet->looks->shared_scale) share_ranges(sheet, r->bar + 1);
    for (int m = 0; m < sheet->n_methods; m++)
        FV_TRY(fv_heat_paint(map[m], height, width, &r->bar[m + 1], &r->cell[m + 1]));
    FV_TRY(fv_image_reshape(&r->cell[0], height, width));
    memcpy(r->cell[0].pixels, picture->pixels, (size_t)(3 * height * width));
    return FV_OK;
}

fv_status fv_explanation_sheet_add(fv_explanation_sheet *sheet, const fv_image *picture,
                                   const char *name, const fv_explanation_files files[]) {
    if (sheet->n_rows == sheet->max_rows)
        return FV_FAIL(FV_ERR_SHAPE, "explanation sheet: more than %lld rows",
                       (long long)sheet->max_rows);
    fv_arena_rewind(&sheet->arena, (fv_arena_mark){0});
    FV_TRY(fill_row(sheet, &sheet->rows[sheet->n_rows], picture, name, files));
    sheet->n_rows++;
    return FV_OK;
}

/* ---- the picture ---- */

static fv_status draw(const fv_explanation_sheet *sheet, fv_arena *arena, fv_image *out) {
    const int64_t R = sheet->n_rows, C = sheet->n_methods + 1;
    const fv_image **images = fv_arena_alloc(arena, (size_t)(R * C), sizeof *images);
    fv_heat_style *bars = fv_arena_alloc(arena, (size_t)(R * C), sizeof *bars);
    const char **row_titles = fv_arena_alloc(arena, (size_t)R, sizeof *row_titles);
    const char **column_titles = fv_arena_alloc(arena, (size_t)C, sizeof *column_titles);

    if (!images || !bars || !row_titles || !column_titles) return FV_ERR_NOMEM;
    column_titles[0] = "image";
    for (int m = 0; m < sheet->n_methods; m++) column_titles[m + 1] = sheet->methods[m].text;
    for (int64_t i = 0; i < R; i++) {
        row_titles[i] = sheet->rows[i].title;
        memcpy(bars + i * C, sheet->rows[i].bar, (size_t)C * sizeof *bars);
        for (int64_t k = 0; k < C; k++) images[i * C + k] = &sheet->rows[i].cell[k];
    }
    return fv_picture_grid_draw(&(fv_picture_grid){.n_rows = R,
                                                   .n_columns = C,
                                                   .images = images,
                                                   .row_titles = row_titles,
                                                   .column_titles = column_titles,
                                                   .cell_bars = bars},
                                out);
}

fv_status fv_explanation_sheet_save(const fv_explanation_sheet *sheet, const char *path) {
    fv_image picture = {0};
    fv_arena arena = {0};

    fv_status status = draw(sheet, &arena, &picture);
    if (status == FV_OK) status = fv_image_save_png(&picture, path);
    fv_image_release(&picture);
    fv_arena_destroy(&arena);
    return status;
}
