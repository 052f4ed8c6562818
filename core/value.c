#include "core/value.h"

#include "core/suggest.h"

#include <stdio.h>
#include <string.h>

fv_value *fv_value_new(fv_arena *arena, fv_value_kind kind) {
    fv_value *v = fv_arena_calloc(arena, 1, sizeof *v);
    if (v) v->kind = kind;
    return v;
}

fv_value *fv_value_int(fv_arena *arena, int64_t i) {
    fv_value *v = fv_value_new(arena, FV_VALUE_INT);
    if (v) {
        v->integer = i;
        v->real = (double)i;
    }
    return v;
}

fv_value *fv_value_real(fv_arena *arena, double r) {
    fv_value *v = fv_value_new(arena, FV_VALUE_REAL);
    if (v) v->real = r;
    return v;
}

fv_value *fv_value_bool(fv_arena *arena, bool b) {
    fv_value *v = fv_value_new(arena, FV_VALUE_BOOL);
    if (v) v->integer = b;
    return v;
}

fv_value *fv_value_string(fv_arena *arena, const char *s) {
    fv_value *v = fv_value_new(arena, s ? FV_VALUE_STRING : FV_VALUE_NULL);
    if (!v || !s) return v;
    v->text = fv_arena_strdup(arena, s);
    return v->text ? v : NULL;
}

fv_value *fv_value_add(fv_value *list, fv_value *item) {
    if (!list) return NULL;
    if (!item) {
        list->incomplete = true;
        return NULL;
    }
    item->next = NULL;
    if (list->last)
        list->last->next = item;
    else
        list->first = item;
    list->last = item;
    list->count++;
    return item;
}

/* Puts item where old stands among the children of map. */
static void replace(fv_value *map, fv_value *old, fv_value *item) {
    fv_value **link = &map->first;

    while (*link != old) link = &(*link)->next;
    *link = item;
    item->next = old->next;
    if (map->last == old) map->last = item;
}

fv_value *fv_value_set(fv_arena *arena, fv_value *map, const char *key, fv_value *item) {
    if (!map) return NULL;
    fv_value *old = fv_value_find(map, key);
    const char *name = !item ? NULL : old ? old->key : fv_arena_strdup(arena, key);
    if (!name) {
        map->incomplete = true;
        return NULL;
    }
    item->key = name;
    if (!old) return fv_value_add(map, item);
    if (old != item) replace(map, old, item);
    return item;
}

fv_value *fv_value_find(const fv_value *map, const char *key) {
    if (!map || map->kind != FV_VALUE_MAP) return NULL;
    for (fv_value *v = map->first; v; v = v->next) {
        if (strcmp(v->key, key) == 0) return v;
    }
    return NULL;
}

fv_value *fv_value_at(const fv_value *list, int64_t i) {
    fv_value *v = list && i >= 0 ? list->first : NULL;
    while (v && i-- > 0) v = v->next;
    return v;
}

fv_value *fv_value_copy(fv_arena *arena, const fv_value *v) {
    fv_value *copy = v ? fv_arena_alloc(arena, 1, sizeof *copy) : NULL;

    if (!copy) return NULL;
    *copy = *v;
    copy->first = copy->last = copy->next = NULL;
    copy->count = 0;
    if (v->key && !(copy->key = fv_arena_strdup(arena, v->key))) return NULL;
    if (v->text && !(copy->text = fv_arena_strdup(arena, v->text))) return NULL;
    if (v->file && !(copy->file = fv_arena_strdup(arena, v->file))) return NULL;
    for (const fv_value *child = v->first; child; child = child->next) {
        if (!fv_value_add(copy, fv_value_copy(arena, child))) return NULL;
    }
    return copy;
}

fv_status fv_value_merge(fv_arena *arena, fv_value *into, const fv_value *from) {
    for (const fv_value *v = from->first; v; v = v->next) {
        fv_value *old = fv_value_find(into, v->key);
        if (old && old->kind == FV_VALUE_MAP && v->kind == FV_VALUE_MAP)
            FV_TRY(fv_value_merge(arena, old, v));
        else if (!fv_value_set(arena, into, v->key, fv_value_copy(arena, v)))
            return FV_ERR_NOMEM;
    }
    return FV_OK;
}

static const char *where_text(const char *file, int line, int column, char text[512]) {
    text[0] = '\0';
    if (file && line > 0)
        snprintf(text, 512, "%s:%d:%d: ", file, line, column);
    else if (file)
        snprintf(text, 512, "%s: ", file);
    return text;
}

const char *fv_value_where(const fv_value *v, char text[512]) {
    return where_text(v->file, v->line, v->column, text);
}

const char *fv_value_key_where(const fv_value *v, char text[512]) {
    return where_text(v->file, v->key_line, v->key_column, text);
}

const char *fv_value_kind_text(fv_value_kind kind) {
    static const char *const texts[] = {
        [FV_VALUE_NULL] = "null",       [FV_VALUE_BOOL] = "true or false",
        [FV_VALUE_INT] = "an integer",  [FV_VALUE_REAL] = "a number",
        [FV_VALUE_STRING] = "a string", [FV_VALUE_LIST] = "a list",
        [FV_VALUE_MAP] = "a map",
    };
    return texts[kind];
}

/* The value of key, marked known, or NULL when there is nothing to read. */
static fv_status look_up(fv_value *map, const char *key, fv_value **out) {
    char where[512];

    *out = NULL;
    if (map && map->kind != FV_VALUE_MAP && map->kind != FV_VALUE_NULL)
        return FV_FAIL(FV_ERR_CONFIG, "%s%s: expected a map, got %s", fv_value_where(map, where),
                       map->key ? map->key : "document", fv_value_kind_text(map->kind));
    fv_value *v = fv_value_find(map, key);
    if (v) v->known = true;
    if (v && v->kind != FV_VALUE_NULL) *out = v;
    return FV_OK;
}

static fv_status wrong_type(const fv_value *v, const char *key, const char *expected) {
    char where[512];
    return FV_FAIL(FV_ERR_CONFIG, "%s%s: expected %s, got %s%s%.40s%s", fv_value_where(v, where),
                   key, expected, fv_value_kind_text(v->kind), v->text ? " '" : "",
                   v->text ? v->text : "", v->text ? "'" : "");
}

static fv_status int_in_range(const fv_value *v, const char *key, int64_t min, int64_t max) {
    char where[512];

    if (v->kind != FV_VALUE_INT) return wrong_type(v, key, "an integer");
    if (v->integer < min || v->integer > max)
        return FV_FAIL(FV_ERR_CONFIG, "%s%s: %lld is outside %lld to %lld",
                       fv_value_where(v, where), key, (long long)v->integer, (long long)min,
                       (long long)max);
    return FV_OK;
}

fv_status fv_value_get_int(fv_value *map, const char *key, int64_t min, int64_t max, int64_t *out) {
    fv_value *v;

    FV_TRY(look_up(map, key, &v));
    if (!v) return FV_OK;
    FV_TRY(int_in_range(v, key, min, max));
    *out = v->integer;
    return FV_OK;
}

fv_status fv_value_get_real(fv_value *map, const char *key, double min, double max, double *out) {
    char where[512];
    fv_value *v;

    FV_TRY(look_up(map, key, &v));
    if (!v) return FV_OK;
    if (v->kind != FV_VALUE_INT && v->kind != FV_VALUE_REAL) return wrong_type(v, key, "a number");
    if (!(v->real >= min && v->real <= max)) /* refuses NaN too */
        return FV_FAIL(FV_ERR_CONFIG, "%s%s: %g is outside %g to %g", fv_value_where(v, where), key,
                       v->real, min, max);
    *out = v->real;
    return FV_OK;
}

fv_status fv_value_get_bool(fv_value *map, const char *key, bool *out) {
    fv_value *v;

    FV_TRY(look_up(map, key, &v));
    if (!v) return FV_OK;
    if (v->kind != FV_VALUE_BOOL) return wrong_type(v, key, "true or false");
    *out = v->integer != 0;
    return FV_OK;
}

fv_status fv_value_get_string(fv_value *map, const char *key, const char **out) {
    fv_value *v;

    FV_TRY(look_up(map, key, &v));
    if (!v) return FV_OK;
    if (v->kind != FV_VALUE_STRING) return wrong_type(v, key, "a string (write it in quotes)");
    *out = v->text;
    return FV_OK;
}

fv_status fv_value_get_ints(fv_value *map, const char *key, int64_t min, int64_t max,
                            int64_t max_count, int64_t out[], int64_t *count) {
    char where[512];
    fv_value *v;
    int64_t n = 0;

    FV_TRY(look_up(map, key, &v));
    if (!v) return FV_OK;
    if (v->kind != FV_VALUE_LIST && v->kind != FV_VALUE_INT)
        return wrong_type(v, key, "an integer or a list of integers");
    const fv_value *item = v->kind == FV_VALUE_LIST ? v->first : v;
    if ((v->kind == FV_VALUE_LIST ? v->count : 1) > max_count)
        return FV_FAIL(FV_ERR_CONFIG, "%s%s: more than %lld entries", fv_value_where(v, where), key,
                       (long long)max_count);
    for (; item; item = v->kind == FV_VALUE_LIST ? item->next : NULL) {
        FV_TRY(int_in_range(item, key, min, max));
        out[n++] = item->integer;
    }
    *count = n;
    return FV_OK;
}

fv_status fv_value_get_map(fv_value *map, const char *key, fv_value **out) {
    fv_value *v;

    FV_TRY(look_up(map, key, &v));
    if (!v) return FV_OK;
    if (v->kind != FV_VALUE_MAP) return wrong_type(v, key, "a map");
    *out = v;
    return FV_OK;
}

fv_status fv_value_check_known(const fv_value *map, const char *const *names) {
    char where[512], hint[FV_SUGGEST_TEXT];

    if (!map || map->kind != FV_VALUE_MAP) return FV_OK;
    for (const fv_value *v = map->first; v; v = v->next) {
        if (v->known) continue;
        return FV_FAIL(FV_ERR_CONFIG, "%sunknown key '%s'%s%s%s", fv_value_key_where(v, where),
                       v->key, map->key ? " in " : "", map->key ? map->key : "",
                       fv_suggest_text(v->key, names, hint));
    }
    return FV_OK;
}
