/* What explanation files of an earlier call say. */
#include "core/file.h"
#include "core/json.h"
#include "data/hash.h"
#include "eval/saliency/explanation_file.h"

#include <stdio.h>
#include <string.h>

/* Texts of the metadata that go into an entry, and how. */
typedef enum form { TEXT, JSON } form;
static const struct {
    const char *key;
    form form;
} fields[] = {{"image", TEXT},       {"method", TEXT},  {"target", JSON},
              {"target_name", TEXT}, {"logit", JSON},   {"probability", JSON},
              {"score", JSON},       {"warning", TEXT}, {"conservation_error", JSON},
              {"ledger", JSON},      {"numbers", JSON}};

static fv_status add_field(const fv_safetensors *st, const char *key, form how, fv_arena *arena,
                           fv_value *entry) {
    const char *text = fv_safetensors_metadata(st, key);
    fv_value *v = NULL;

    if (!text)
        return FV_FAIL(FV_ERR_FORMAT, "%s: no explanation: '%s' is missing",
                       fv_safetensors_path(st), key);
    if (how == JSON)
        FV_TRY(fv_json_parse(text, strlen(text), fv_safetensors_path(st), arena, &v));
    else
        v = fv_value_string(arena, text[0] ? text : NULL);
    return fv_value_set(arena, entry, key, v) ? FV_OK : FV_ERR_NOMEM;
}

static fv_status read_entry(const fv_safetensors *st, const fv_explanation_files *files,
                            fv_arena *arena, fv_value *entry) {
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        FV_TRY(add_field(st, fields[i].key, fields[i].form, arena, entry));
    fv_value_set(arena, entry, "map", fv_value_string(arena, files->map));
    fv_value_set(arena, entry, "overlay", fv_value_string(arena, files->overlay));
    fv_value_set(arena, entry, "raw", fv_value_string(arena, files->raw));
    fv_value_set(arena, entry, "grid", fv_value_string(arena, files->grid));
    return FV_OK;
}

fv_status fv_explanation_read(const fv_explanation_files *files, fv_arena *arena,
                              fv_value **entry) {
    fv_safetensors *st = NULL;

    *entry = NULL;
    FV_TRY(fv_safetensors_open(files->raw, &st));
    fv_value *map = fv_value_new(arena, FV_VALUE_MAP);
    const fv_status status = map ? read_entry(st, files, arena, map) : FV_ERR_NOMEM;
    fv_safetensors_close(st);
    if (status == FV_OK) *entry = map;
    return status;
}

static bool says(const fv_safetensors *st, const char *key, const char *wanted) {
    const char *text = fv_safetensors_metadata(st, key);
    return text && strcmp(text, wanted) == 0;
}

bool fv_explanation_is_done(const fv_explanation_files *files,
                            const fv_explanation_source *source) {
    fv_safetensors *st = NULL;
    fv_arena arena = {0};
    char *settings = NULL;

    if (!fv_file_exists(files->raw) || !fv_file_exists(files->map) ||
        !fv_file_exists(files->overlay) || fv_safetensors_open(files->raw, &st) != FV_OK)
        return false;
    fv_value *parameters = fv_explanation_parameters(source, &arena);
    const bool done = parameters &&
                      fv_json_write(parameters, FV_JSON_COMPACT, &arena, &settings) == FV_OK &&
                      says(st, "weights", source->weights) && says(st, "image", source->image) &&
                      says(st, "request", source->request) &&
                      says(st, "method", source->choice->text) && says(st, "parameters", settings);
    fv_safetensors_close(st);
    fv_arena_destroy(&arena);
    return done;
}

const char *fv_explanation_weights(const fv_model *model, char text[17]) {
    fv_hash *hash = NULL;

    if (fv_hash_create(&hash) != FV_OK) return NULL;
    for (int64_t i = 0; i < model->params.count; i++) {
        const fv_param *p = model->params.item[i];
        fv_hash_update(hash, p->value, (size_t)p->numel * sizeof *p->value);
    }
    snprintf(text, 17, "%016llx", (unsigned long long)fv_hash_value(hash));
    fv_hash_destroy(hash);
    return text;
}
