#include "core/json.h"

#include "core/alloc.h"
#include "core/file.h"
#include "core/text.h"

#include <jansson.h>

#include <inttypes.h>
#include <math.h>

#define MAX_DEPTH 64

typedef struct reader {
    fv_arena *arena;
    const char *name; /* in the arena */
} reader;

static fv_status convert(const reader *r, const json_t *json, int depth, fv_value **out);

/* jansson has refused duplicate keys already, so children are appended without a search. */
static fv_status convert_object(const reader *r, json_t *json, int depth, fv_value *map) {
    for (void *i = json_object_iter(json); i; i = json_object_iter_next(json, i)) {
        fv_value *item = NULL;
        FV_TRY(convert(r, json_object_iter_value(i), depth + 1, &item));
        item->key = fv_arena_strdup(r->arena, json_object_iter_key(i));
        if (!item->key) return FV_ERR_NOMEM;
        fv_value_add(map, item);
    }
    return FV_OK;
}

static fv_status convert_array(const reader *r, const json_t *json, int depth, fv_value *list) {
    for (size_t i = 0; i < json_array_size(json); i++) {
        fv_value *item = NULL;
        FV_TRY(convert(r, json_array_get(json, i), depth + 1, &item));
        fv_value_add(list, item);
    }
    return FV_OK;
}

static fv_value *convert_leaf(const reader *r, const json_t *json) {
    switch (json_typeof(json)) {
    case JSON_STRING:
        return fv_value_string(r->arena, json_string_value(json));
    case JSON_INTEGER:
        return fv_value_int(r->arena, json_integer_value(json));
    case JSON_TRUE:
        return fv_value_bool(r->arena, true);
    case JSON_FALSE:
        return fv_value_bool(r->arena, false);
    case JSON_REAL:
        return fv_value_real(r->arena, json_real_value(json));
    default:
        return fv_value_new(r->arena, FV_VALUE_NULL);
    }
}

static fv_status convert(const reader *r, const json_t *json, int depth, fv_value **out) {
    fv_value *v;

    if (json_is_object(json))
        v = fv_value_new(r->arena, FV_VALUE_MAP);
    else if (json_is_array(json))
        v = fv_value_new(r->arena, FV_VALUE_LIST);
    else
        v = convert_leaf(r, json);
    if (!v) return FV_ERR_NOMEM;
    v->file = r->name;
    *out = v;
    if (v->kind != FV_VALUE_MAP && v->kind != FV_VALUE_LIST) return FV_OK;
    if (depth > MAX_DEPTH)
        return FV_FAIL(FV_ERR_FORMAT, "%s: nested deeper than %d levels", r->name, MAX_DEPTH);
    return v->kind == FV_VALUE_MAP ? convert_object(r, (json_t *)json, depth, v)
                                   : convert_array(r, json, depth, v);
}

/* Undoes JSON_DECODE_INT_AS_REAL where nothing was lost. */
static void restore_integers(fv_value *v) {
    if (v->kind == FV_VALUE_REAL && fabs(v->real) <= 0x1p53 && v->real == trunc(v->real)) {
        v->kind = FV_VALUE_INT;
        v->integer = (int64_t)v->real;
    }
    for (fv_value *child = v->first; child; child = child->next) restore_integers(child);
}

fv_status fv_json_parse(const char *text, size_t n_bytes, const char *name, fv_arena *arena,
                        fv_value **out) {
    const size_t flags = JSON_REJECT_DUPLICATES | JSON_DECODE_ANY;
    json_error_t error;
    bool ints_as_reals = false;

    *out = NULL;
    json_t *json = json_loadb(text, n_bytes, flags, &error);
    if (!json && json_error_code(&error) == json_error_numeric_overflow) {
        ints_as_reals = true;
        json = json_loadb(text, n_bytes, flags | JSON_DECODE_INT_AS_REAL, &error);
    }
    if (!json && json_error_code(&error) == json_error_out_of_memory)
        return FV_FAIL(FV_ERR_NOMEM, "%s: out of memory", name);
    if (!json)
        return FV_FAIL(FV_ERR_FORMAT, "%s:%d:%d: %s", name, error.line < 1 ? 1 : error.line,
                       error.column < 1 ? 1 : error.column, error.text);

    const reader r = {arena, fv_arena_strdup(arena, name)};
    fv_value *root = NULL;
    const fv_status status = r.name ? convert(&r, json, 1, &root) : FV_ERR_NOMEM;
    json_decref(json);
    if (status != FV_OK) return status;
    if (ints_as_reals) restore_integers(root);
    *out = root;
    return FV_OK;
}

fv_status fv_json_load(const char *path, size_t max_bytes, fv_arena *arena, fv_value **out) {
    uint8_t *bytes = NULL;
    size_t n_bytes = 0;

    *out = NULL;
    FV_TRY(fv_file_read(path, max_bytes, &bytes, &n_bytes));
    const fv_status status = fv_json_parse((const char *)bytes, n_bytes, path, arena, out);
    fv_free(bytes);
    return status;
}

static void new_line(fv_text *t, fv_json_style style, int depth) {
    if (style == FV_JSON_COMPACT) return;
    fv_text_append(t, "\n");
    fv_text_repeat(t, ' ', 2 * depth);
}

/* A list of scalars stays on one line in the indented style too. */
static bool is_flat(const fv_value *list) {
    for (const fv_value *v = list->first; v; v = v->next) {
        if (v->kind == FV_VALUE_LIST || v->kind == FV_VALUE_MAP) return false;
    }
    return true;
}

static void write_value(fv_text *t, const fv_value *v, fv_json_style style, int depth);

static void write_children(fv_text *t, const fv_value *v, fv_json_style style, int depth) {
    const bool map = v->kind == FV_VALUE_MAP;
    const bool one_line = style == FV_JSON_COMPACT || (!map && is_flat(v));

    if (v->incomplete) t->failed = true;
    fv_text_append(t, map ? "{" : "[");
    for (const fv_value *child = v->first; child && !t->failed; child = child->next) {
        if (child != v->first) fv_text_append(t, one_line && style == FV_JSON_INDENT ? ", " : ",");
        if (!one_line) new_line(t, style, depth + 1);
        if (map) {
            fv_text_quoted(t, child->key);
            fv_text_append(t, style == FV_JSON_COMPACT ? ":" : ": ");
        }
        write_value(t, child, style, depth + 1);
    }
    if (v->first && !one_line) new_line(t, style, depth);
    fv_text_append(t, map ? "}" : "]");
}

static void write_value(fv_text *t, const fv_value *v, fv_json_style style, int depth) {
    switch (v->kind) {
    case FV_VALUE_NULL:
        fv_text_append(t, "null");
        break;
    case FV_VALUE_BOOL:
        fv_text_append(t, v->integer ? "true" : "false");
        break;
    case FV_VALUE_INT:
        fv_text_printf(t, "%" PRId64, v->integer);
        break;
    case FV_VALUE_REAL:
        if (isfinite(v->real))
            fv_text_real(t, v->real);
        else
            fv_text_append(t, "null");
        break;
    case FV_VALUE_STRING:
        fv_text_quoted(t, v->text);
        break;
    case FV_VALUE_LIST:
    case FV_VALUE_MAP:
        write_children(t, v, style, depth);
        break;
    }
}

fv_status fv_json_write(const fv_value *v, fv_json_style style, fv_arena *arena, char **out) {
    fv_text text = {0};

    *out = NULL;
    if (!v) return FV_FAIL(FV_ERR_NOMEM, "no memory for the document");
    write_value(&text, v, style, 0);
    return fv_text_take(&text, arena, out);
}
