#include "cli/explain_pictures.h"

#include "cli/method_help.h"

fv_status fv_explain_pictures_open(const fv_settings *settings, const fv_saliency_choice *methods,
                                   int n_methods, int64_t n_images, fv_explain_pictures *out) {
    *out = (fv_explain_pictures){.folder = settings->out, .n_methods = n_methods};
    FV_TRY(fv_explanation_looks_parse(settings->colormap, settings->normalise, methods, n_methods,
                                      &out->looks));
    out->looks.shared_scale = settings->shared_scale;
    if (n_methods > 1)
        FV_TRY(fv_explanation_sheet_create(methods, n_methods, &out->looks, 1, &out->grid));
    if (n_images > 1)
        FV_TRY(fv_explanation_sheet_create(methods, n_methods, &out->looks, FV_EXPLAIN_SHEET_ROWS,
                                           &out->sheet));
    return FV_OK;
}

void fv_explain_pictures_close(fv_explain_pictures *p) {
    fv_explanation_sheet_destroy(p->grid);
    fv_explanation_sheet_destroy(p->sheet);
    *p = (fv_explain_pictures){0};
}

static fv_status save_sheet(fv_explain_pictures *p) {
    fv_arena arena = {0};
    const char *path = fv_arena_printf(&arena, "%s/sheet.png", p->folder);
    const fv_status status = path ? fv_explanation_sheet_save(p->sheet, path) : FV_ERR_NOMEM;

    fv_arena_destroy(&arena);
    if (status != FV_OK) return status;
    fv_explanation_sheet_destroy(p->sheet);
    p->sheet = NULL;
    p->has_sheet = true;
    return FV_OK;
}

fv_status fv_explain_pictures_add(fv_explain_pictures *p, const fv_image *picture, const char *stem,
                                  fv_arena *arena, fv_explanation_files files[]) {
    if (p->sheet) {
        FV_TRY(fv_explanation_sheet_add(p->sheet, picture, stem, files));
        if (fv_explanation_sheet_rows(p->sheet) == FV_EXPLAIN_SHEET_ROWS) FV_TRY(save_sheet(p));
    }
    if (!p->grid) return FV_OK;
    const char *path = fv_arena_printf(arena, "%s/%s_grid.png", p->folder, stem);
    if (!path) return FV_ERR_NOMEM;
    fv_explanation_sheet_clear(p->grid);
    FV_TRY(fv_explanation_sheet_add(p->grid, picture, NULL, files));
    FV_TRY(fv_explanation_sheet_save(p->grid, path));
    for (int m = 0; m < p->n_methods; m++) files[m].grid = path;
    return FV_OK;
}

fv_status fv_explain_pictures_end(fv_explain_pictures *p, fv_arena *arena, const char **path) {
    *path = NULL;
    if (p->sheet && fv_explanation_sheet_rows(p->sheet) > 1) FV_TRY(save_sheet(p));
    if (!p->has_sheet) return FV_OK;
    *path = fv_arena_printf(arena, "%s/sheet.png", p->folder);
    return *path ? FV_OK : FV_ERR_NOMEM;
}

void fv_explain_help(fv_text *text) {
    fv_method_help(text);
    for (int with_sign = 1; with_sign >= 0; with_sign--) {
        fv_text_printf(text, "\nPictures of maps %s sign, for --colormap and --normalise:\n",
                       with_sign ? "with" : "without");
        for (int i = 0; fv_colormap_at(i); i++)
            if (fv_colormap_at(i)->diverging == (bool)with_sign)
                fv_text_printf(text, "  %-22s  %s\n", fv_colormap_at(i)->name,
                               fv_colormap_at(i)->summary);
        for (int i = 0; fv_heat_norm_at(i); i++) {
            const fv_heat_norm *norm = fv_heat_norm_at(i);
            if (norm->is_signed != (bool)with_sign) continue;
            fv_text_printf(text, "  %-22s  range: %s", norm->name, norm->summary);
            if (norm->most > 0.0)
                fv_text_printf(text, ", :NUMBER up to %g [%g]", norm->most, norm->usual);
            fv_text_append(text, "\n");
        }
    }
}
