#include "core/settings.h"

#include "core/option.h"
#include "core/suggest.h"
#include "core/yaml.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_CHOICES 16

static void *field(fv_settings *s, const fv_option *o) { return (char *)s + o->offset; }

static void mark_given(fv_settings *s, const fv_option *o) {
    *(bool *)((char *)s + o->given) = true;
}

void fv_settings_init(fv_settings *s) {
    *s = (fv_settings){0};
    for (int i = 0; i < fv_n_options; i++) {
        const fv_option *o = &fv_option_table[i];
        switch (o->type) {
        case FV_OPTION_INT:
            *(int64_t *)field(s, o) = o->int_default;
            break;
        case FV_OPTION_REAL:
            *(double *)field(s, o) = o->real_default;
            break;
        case FV_OPTION_BOOL:
            *(bool *)field(s, o) = o->int_default != 0;
            break;
        case FV_OPTION_STRING:
            *(const char **)field(s, o) = o->text_default;
            break;
        case FV_OPTION_MAP:
            break;
        case FV_OPTION_REALS: {
            fv_reals *reals = field(s, o);
            const char *text = o->text_default;
            char *end = NULL;
            for (double v = strtod(text, &end); end != text && reals->count < o->count;
                 v = strtod(text, &end)) {
                reals->v[reals->count++] = v;
                text = end;
            }
            break;
        }
        }
    }
}

void fv_settings_destroy(fv_settings *s) {
    fv_arena arena = s->arena;

    fv_arena_destroy(&arena);
    *s = (fv_settings){0};
}

/* "file:line:column: key" or the flag: what a message about v starts with. */
static const char *place(const fv_value *v, const fv_option *o, char text[512]) {
    if (v->line > 0)
        snprintf(text, 512, "%s:%d:%d: %s", v->file, v->line, v->column, o->name);
    else
        snprintf(text, 512, "%s", v->file ? v->file : o->name);
    return text;
}

static fv_status wrong_type(const fv_value *v, const fv_option *o, const char *expected) {
    char where[512];
    return FV_FAIL(FV_ERR_CONFIG, "%s: expected %s, got %s%s%.40s%s", place(v, o, where), expected,
                   fv_value_kind_text(v->kind), v->text ? " '" : "", v->text ? v->text : "",
                   v->text ? "'" : "");
}

static fv_status assign_int(fv_settings *s, const fv_option *o, const fv_value *v) {
    char where[512];

    if (v->kind != FV_VALUE_INT) return wrong_type(v, o, "an integer");
    if (v->integer < o->int_min && o->int_max == INT64_MAX)
        return FV_FAIL(FV_ERR_CONFIG, "%s: %lld is less than %lld", place(v, o, where),
                       (long long)v->integer, (long long)o->int_min);
    if (v->integer < o->int_min || v->integer > o->int_max)
        return FV_FAIL(FV_ERR_CONFIG, "%s: %lld is outside %lld to %lld", place(v, o, where),
                       (long long)v->integer, (long long)o->int_min, (long long)o->int_max);
    *(int64_t *)field(s, o) = v->integer;
    return FV_OK;
}

static fv_status read_real(const fv_option *o, const fv_value *v, double *out) {
    char where[512];

    if (v->kind != FV_VALUE_INT && v->kind != FV_VALUE_REAL) return wrong_type(v, o, "a number");
    if (!(v->real >= o->real_min && v->real <= o->real_max)) /* refuses NaN too */
        return FV_FAIL(FV_ERR_CONFIG, "%s: %g is outside %g to %g", place(v, o, where), v->real,
                       o->real_min, o->real_max);
    *out = v->real;
    return FV_OK;
}

static fv_status assign_bool(fv_settings *s, const fv_option *o, const fv_value *v) {
    if (v->kind != FV_VALUE_BOOL) return wrong_type(v, o, "true or false");
    *(bool *)field(s, o) = v->integer != 0;
    return FV_OK;
}

static fv_status check_choice(const fv_option *o, const fv_value *v) {
    char words[256], where[512], hint[FV_SUGGEST_TEXT], *rest = words;
    const char *list[MAX_CHOICES + 1] = {NULL};

    if (!o->choices || strcmp(v->text, o->text_default) == 0) return FV_OK;
    snprintf(words, sizeof words, "%s", o->choices);
    for (int n = 0; n < MAX_CHOICES; n++) {
        list[n] = strtok_r(n ? NULL : words, " ", &rest);
        if (!list[n]) break;
        if (strcmp(list[n], v->text) == 0) return FV_OK;
    }
    return FV_FAIL(FV_ERR_CONFIG, "%s: '%.80s' is not one of: %s%s", place(v, o, where), v->text,
                   o->choices, fv_suggest_text(v->text, list, hint));
}

static fv_status assign_string(fv_settings *s, const fv_option *o, const fv_value *v) {
    if (v->kind != FV_VALUE_STRING) return wrong_type(v, o, "a string (write it in quotes)");
    FV_TRY(check_choice(o, v));
    const char *copy = fv_arena_strdup(&s->arena, v->text);
    if (!copy) return FV_ERR_NOMEM;
    *(const char **)field(s, o) = copy;
    return FV_OK;
}

static fv_status assign_reals(fv_settings *s, const fv_option *o, const fv_value *v) {
    fv_reals reals = {.count = o->count};
    char where[512];
    int n = 0;

    if (v->kind != FV_VALUE_LIST) return wrong_type(v, o, "a list of numbers");
    if (v->count != o->count)
        return FV_FAIL(FV_ERR_CONFIG, "%s: expected %d numbers, got %lld", place(v, o, where),
                       o->count, (long long)v->count);
    for (const fv_value *item = v->first; item; item = item->next)
        FV_TRY(read_real(o, item, &reals.v[n++]));
    *(fv_reals *)field(s, o) = reals;
    return FV_OK;
}

static fv_status assign_map(fv_settings *s, const fv_option *o, const fv_value *v) {
    fv_value **map = field(s, o);

    if (v->kind != FV_VALUE_MAP) return wrong_type(v, o, "a map");
    if (!*map) {
        *map = fv_value_new(&s->arena, FV_VALUE_MAP);
        if (!*map) return FV_ERR_NOMEM;
        (*map)->key = o->name;
    }
    return fv_value_merge(&s->arena, *map, v);
}

static fv_status assign(fv_settings *s, const fv_option *o, const fv_value *v) {
    fv_status status = FV_OK;

    switch (o->type) {
    case FV_OPTION_INT:
        status = assign_int(s, o, v);
        break;
    case FV_OPTION_REAL:
        status = read_real(o, v, field(s, o));
        break;
    case FV_OPTION_BOOL:
        status = assign_bool(s, o, v);
        break;
    case FV_OPTION_STRING:
        status = assign_string(s, o, v);
        break;
    case FV_OPTION_REALS:
        status = assign_reals(s, o, v);
        break;
    case FV_OPTION_MAP:
        status = assign_map(s, o, v);
        break;
    }
    if (status == FV_OK) mark_given(s, o);
    return status;
}

/* The option called name, when the commands take it; prefix ("file:1:2: ") starts the message. */
static fv_status find_option(const char *name, const char *prefix, uint32_t commands,
                             const fv_option **out) {
    char hint[FV_SUGGEST_TEXT], takers[256];
    const fv_option *o = fv_option_find(name);

    *out = o;
    if (o && o->commands & commands & FV_CMD_EVERY) return FV_OK;
    const char *near = fv_option_near(name, commands & FV_CMD_EVERY);
    if (!o && !near) near = fv_option_near(name, FV_CMD_EVERY);
    fv_suggest_text(name, (const char *const[]){near, NULL}, hint);
    if (!o) return FV_FAIL(FV_ERR_CONFIG, "%sunknown option '%.80s'%s", prefix, name, hint);
    return FV_FAIL(FV_ERR_CONFIG, "%s'%s' is not an option here; it belongs to %s%s", prefix,
                   o->name, fv_command_names(o->commands, takers), hint);
}

fv_status fv_settings_merge(fv_settings *s, const fv_value *map, uint32_t commands) {
    char where[512];

    if (map->kind == FV_VALUE_NULL) return FV_OK; /* an empty file */
    if (map->kind != FV_VALUE_MAP)
        return FV_FAIL(FV_ERR_CONFIG, "%sexpected options as 'name: value', got %s",
                       fv_value_where(map, where), fv_value_kind_text(map->kind));
    for (const fv_value *v = map->first; v; v = v->next) {
        const fv_option *o = NULL;
        FV_TRY(find_option(v->key, fv_value_key_where(v, where), commands, &o));
        if (o->commands & FV_OPTION_FLAG_ONLY)
            return FV_FAIL(FV_ERR_CONFIG, "%s'%s' can only be given as a flag",
                           fv_value_key_where(v, where), o->name);
        if (v->kind != FV_VALUE_NULL) FV_TRY(assign(s, o, v));
    }
    return FV_OK;
}

fv_status fv_settings_load(fv_settings *s, const char *path, uint32_t commands) {
    fv_arena arena = {0};
    fv_value *map = NULL;

    fv_status status = fv_yaml_load(path, &arena, &map);
    if (status == FV_OK) status = fv_settings_merge(s, map, commands);
    fv_arena_destroy(&arena);
    return status;
}

/* Reads text as YAML into *out; numbers without brackets are a list for REALS. */
static fv_status parse_text(const fv_option *o, const char *text, const char *where,
                            fv_arena *arena, fv_value **out) {
    if (o->type == FV_OPTION_REALS && text[0] != '[') text = fv_arena_printf(arena, "[%s]", text);
    if (!text) return FV_ERR_NOMEM;
    return fv_yaml_parse(text, strlen(text), where, arena, out);
}

/* {rest...: leaf} for a dotted key, so that one merge serves files and flags. */
static fv_status nest(fv_arena *arena, const char *path, fv_value *leaf, fv_value **out) {
    char *keys = fv_arena_strdup(arena, path);
    fv_value *root = fv_value_new(arena, FV_VALUE_MAP), *map = root;

    if (!keys || !root) return FV_ERR_NOMEM;
    for (char *key = keys, *dot; key; key = dot) {
        dot = strchr(key, '.');
        if (dot) *dot++ = '\0';
        if (!*key) return FV_FAIL(FV_ERR_CONFIG, "'%.80s' has an empty part", path);
        map = fv_value_set(arena, map, key, dot ? fv_value_new(arena, FV_VALUE_MAP) : leaf);
        if (!map) return FV_ERR_NOMEM;
    }
    *out = root;
    return FV_OK;
}

/* Flags have no line: the flag itself is the place. */
static void set_place(fv_value *v, const char *where) {
    v->file = where;
    v->line = v->column = v->key_line = v->key_column = 0;
    for (fv_value *child = v->first; child; child = child->next) set_place(child, where);
}

static fv_status set_from_text(fv_settings *s, const fv_option *o, const char *rest,
                               const char *text, const char *where, fv_arena *arena) {
    fv_value *v = NULL;

    if (rest && o->type != FV_OPTION_MAP)
        return FV_FAIL(FV_ERR_CONFIG, "%s: '%s' has no parts", where, o->name);
    if (o->type == FV_OPTION_STRING) {
        v = fv_value_string(arena, text);
        if (!v) return FV_ERR_NOMEM;
    } else {
        FV_TRY(parse_text(o, text, where, arena, &v));
    }
    if (rest) FV_TRY(nest(arena, rest, v, &v));
    set_place(v, where);
    return assign(s, o, v);
}

fv_status fv_settings_set(fv_settings *s, const char *key, const char *text, const char *where,
                          uint32_t commands) {
    fv_arena arena = {0};
    char prefix[128], name[FV_OPTION_TEXT];
    const fv_option *o = NULL;
    const char *dot = strchr(key, '.');

    snprintf(name, sizeof name, "%.*s", dot ? (int)(dot - key) : (int)strlen(key), key);
    snprintf(prefix, sizeof prefix, "%.100s: ", where);
    FV_TRY(find_option(name, prefix, commands, &o));
    const fv_status status = set_from_text(s, o, dot ? dot + 1 : NULL, text, where, &arena);
    fv_arena_destroy(&arena);
    return status;
}
