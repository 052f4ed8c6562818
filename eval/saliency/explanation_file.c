#include "eval/saliency/explanation_file.h"

#include "core/json.h"

#include <stdio.h>
#include <string.h>

#define MIN_PICTURE_PX 224
#define STEM_BYTES     180

fv_status fv_explanation_name(const char *folder, const char *stem, const char *method,
                              fv_arena *arena, fv_explanation_files *out) {
    char *name = fv_arena_strdup(arena, method);

    *out = (fv_explanation_files){0};
    if (!name) return FV_ERR_NOMEM;
    for (char *c = name; *c; c++)
        if (*c == ':') *c = '-';
    out->raw = fv_arena_printf(arena, "%s/%s_%s.safetensors", folder, stem, name);
    out->map = fv_arena_printf(arena, "%s/%s_%s_heat.png", folder, stem, name);
    out->overlay = fv_arena_printf(arena, "%s/%s_%s_overlay.png", folder, stem, name);
    return out->raw && out->map && out->overlay ? FV_OK : FV_ERR_NOMEM;
}

/* ---- stems ---- */

static bool taken(const char *const *stems, int64_t n, const char *stem) {
    for (int64_t i = 0; i < n; i++)
        if (strcmp(stems[i], stem) == 0) return true;
    return false;
}

/* "photo" of "folder/photo.png". */
static const char *plain_stem(const char *path, fv_arena *arena) {
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    const char *dot = strrchr(name, '.');
    size_t n = dot && dot != name ? (size_t)(dot - name) : strlen(name);

    if (n > STEM_BYTES) {
        n = STEM_BYTES;
        while (n > 0 && ((unsigned char)name[n] & 0xc0) == 0x80) n--; /* keep UTF-8 whole */
    }
    return n ? fv_arena_printf(arena, "%.*s", (int)n, name) : "image";
}

fv_status fv_explanation_stems(const char *const *images, int64_t n, fv_arena *arena,
                               const char **stems) {
    for (int64_t i = 0; i < n; i++) {
        const char *plain = plain_stem(images[i], arena);
        stems[i] = plain;
        for (int again = 2; stems[i] && taken(stems, i, stems[i]); again++)
            stems[i] = fv_arena_printf(arena, "%s-%d", plain, again);
        if (!stems[i]) return FV_ERR_NOMEM;
    }
    return FV_OK;
}

/* ---- the raw file ---- */

fv_value *fv_explanation_ledger(const fv_explanation *e, fv_arena *arena) {
    const fv_account *a = &e->account;

    if (!e->has_account) return fv_value_new(arena, FV_VALUE_NULL);
    fv_value *map = fv_value_new(arena, FV_VALUE_MAP);
    fv_value_set(arena, map, "start", fv_value_real(arena, a->start));
    fv_value_set(arena, map, "input", fv_value_real(arena, a->input));
    for (int s = 0; s < FV_SINK_COUNT; s++)
        fv_value_set(arena, map, fv_sink_names[s], fv_value_real(arena, a->sink[s]));
    fv_value_set(arena, map, "end_to_end", fv_value_real(arena, a->end_to_end));
    fv_value_set(arena, map, "worst_op", fv_value_real(arena, a->worst_op));
    fv_value_set(arena, map, "worst_op_name", fv_value_string(arena, a->worst_op_name));
    return map;
}

static fv_value *channels(fv_arena *arena, const float v[3]) {
    fv_value *list = fv_value_new(arena, FV_VALUE_LIST);
    for (int c = 0; c < 3; c++) fv_value_add(list, fv_value_real(arena, (double)v[c]));
    return list;
}

fv_value *fv_explanation_parameters(const fv_explanation_source *s, fv_arena *arena) {
    const fv_preprocess *pre = s->preprocess;
    fv_value *map = fv_saliency_settings(s->choice, arena);
    fv_value *size = fv_value_new(arena, FV_VALUE_LIST);

    if (!map || !size) return NULL;
    fv_value_add(size, fv_value_int(arena, pre->img_h));
    fv_value_add(size, fv_value_int(arena, pre->img_w));
    fv_value_set(arena, map, "input_size", size);
    fv_value_set(arena, map, "mean", channels(arena, pre->mean));
    fv_value_set(arena, map, "std", channels(arena, pre->std));
    fv_value_set(arena, map, "interpolation",
                 fv_value_string(arena, fv_interpolation_name(pre->interpolation)));
    fv_value_set(arena, map, "crop_pct", fv_value_real(arena, pre->crop_pct));
    fv_explanation_look_describe(fv_explanation_look_of(s->looks, s->choice), arena, map);
    fv_value_set(arena, map, "shared_scale",
                 fv_value_bool(arena, s->looks && s->looks->shared_scale));
    fv_value_set(arena, map, "version", fv_value_string(arena, FOVEA_VERSION));
    return map;
}

static fv_value *numbers_of(const fv_explanation *e, fv_arena *arena) {
    fv_value *map = fv_value_new(arena, FV_VALUE_MAP);

    for (int i = 0; i < e->n_numbers; i++)
        fv_value_set(arena, map, e->number[i].name, fv_value_real(arena, e->number[i].value));
    if (e->approximate) fv_value_set(arena, map, "approximate", fv_value_bool(arena, true));
    return map;
}

static fv_status json(fv_value *v, fv_arena *arena, const char **out) {
    char *text = NULL;
    const fv_status status = v ? fv_json_write(v, FV_JSON_COMPACT, arena, &text) : FV_ERR_NOMEM;
    *out = text;
    return status;
}

static fv_status save_raw(const fv_explanation *e, const fv_explanation_source *s, const char *path,
                          fv_arena *arena) {
    fv_safetensors_item items[3];
    int64_t n_items = 0;

    items[n_items++] =
        (fv_safetensors_item){"map", {e->map, FV_F32, fv_shape_of(2, e->height, e->width)}};
    if (e->relevance)
        items[n_items++] = (fv_safetensors_item){
            "relevance", {e->relevance, FV_F32, fv_shape_of(3, e->height, e->width, (int64_t)3)}};
    if (e->grid)
        items[n_items++] =
            (fv_safetensors_item){"grid", {e->grid, FV_F32, fv_shape_of(2, e->grid_h, e->grid_w)}};
    const char *ledger, *numbers, *settings, *error = "null";
    char target[24], logit[32], probability[32], score[32], conservation[32];

    FV_TRY(json(fv_explanation_ledger(e, arena), arena, &ledger));
    FV_TRY(json(numbers_of(e, arena), arena, &numbers));
    FV_TRY(json(fv_explanation_parameters(s, arena), arena, &settings));
    snprintf(target, sizeof target, "%lld", (long long)e->target);
    snprintf(logit, sizeof logit, "%.9g", (double)e->logit);
    snprintf(probability, sizeof probability, "%.9g", (double)e->probability);
    snprintf(score, sizeof score, "%.9g", (double)e->score);
    if (e->has_account) {
        snprintf(conservation, sizeof conservation, "%.9g", fv_conservation_error(&e->account));
        error = conservation;
    }
    const fv_safetensors_meta meta[] = {
        {"model", s->model->name},
        {"checkpoint", s->checkpoint},
        {"weights", s->weights},
        {"image", s->image},
        {"method", s->choice->text},
        {"target", target},
        {"target_name", s->target_name ? s->target_name : ""},
        {"logit", logit},
        {"probability", probability},
        {"score", score},
        {"conservation_error", error},
        {"warning", e->warning},
        {"request", s->request},
        {"numbers", numbers},
        {"ledger", ledger},
        {"parameters", settings},
    };
    return fv_safetensors_save(path, items, n_items, meta, sizeof meta / sizeof *meta);
}

/* ---- the pictures ---- */

static fv_status save_picture(const fv_image *image, const char *path) {
    const int64_t factor = fv_image_enlarge_factor(image->height, image->width, MIN_PICTURE_PX);
    fv_image large = {0};

    fv_status status = fv_image_enlarge(image, factor, &large);
    if (status == FV_OK) status = fv_image_save_png(&large, path);
    fv_image_release(&large);
    return status;
}

static fv_status save_pictures(const fv_explanation *e, const fv_explanation_source *source,
                               const fv_explanation_files *files) {
    const fv_explanation_look *look = fv_explanation_look_of(source->looks, source->choice);
    fv_heat_style style;
    fv_image painted = {0};

    fv_status status = fv_explanation_look_style(look, e->map, e->height * e->width, &style);
    if (status == FV_OK) status = fv_heat_paint(e->map, e->height, e->width, &style, &painted);
    if (status == FV_OK) status = save_picture(&painted, files->map);
    if (status == FV_OK)
        status = fv_heat_overlay(e->map, source->picture, &style, &look->blend, &painted);
    if (status == FV_OK) status = save_picture(&painted, files->overlay);
    fv_image_release(&painted);
    return status;
}

fv_status fv_explanation_save(const fv_explanation *e, const fv_explanation_source *source,
                              const fv_explanation_files *files) {
    const fv_image *picture = source->picture;
    fv_arena arena = {0};

    if (picture->height != e->height || picture->width != e->width)
        return FV_FAIL(FV_ERR_SHAPE, "explanation is %lldx%lld, its picture %lldx%lld",
                       (long long)e->height, (long long)e->width, (long long)picture->height,
                       (long long)picture->width);
    fv_status status = save_pictures(e, source, files);
    if (status == FV_OK) status = save_raw(e, source, files->raw, &arena);
    fv_arena_destroy(&arena);
    return status;
}
