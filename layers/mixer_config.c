#include "layers/mixer_config.h"

#include "core/suggest.h"
#include "layers/mixer.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define MAX_KEYS 128 /* that "did you mean" looks at */

/* The widths a key can have, from the widest on. */
typedef struct levels {
    fv_value *map[3];
} levels;

static fv_value *numbered(const fv_value *attention, const char *group, int64_t number) {
    char key[24];
    snprintf(key, sizeof key, "%" PRId64, number);
    return fv_value_find(fv_value_find(attention, group), key);
}

static bool is_level(const char *key) {
    return strcmp(key, "stage") == 0 || strcmp(key, "layer") == 0;
}

static fv_status check_map(const fv_value *v) {
    char where[512];
    if (!v || v->kind == FV_VALUE_MAP || v->kind == FV_VALUE_NULL) return FV_OK;
    return FV_FAIL(FV_ERR_CONFIG, "%s%s: expected a map, got %s", fv_value_where(v, where),
                   v->key ? v->key : "attention", fv_value_kind_text(v->kind));
}

static levels levels_of(const fv_value *attention, int64_t stage, int64_t layer) {
    return (levels){{(fv_value *)(uintptr_t)attention, numbered(attention, "stage", stage),
                     numbered(attention, "layer", layer)}};
}

/* Copies what from holds over into; groups within groups are merged too. */
static fv_status merge(fv_arena *arena, fv_value *into, const fv_value *from, bool skip_levels) {
    for (const fv_value *v = from->first; v; v = v->next) {
        fv_value *old = fv_value_find(into, v->key);
        if (skip_levels && is_level(v->key)) continue;
        if (old && old->kind == FV_VALUE_MAP && v->kind == FV_VALUE_MAP)
            FV_TRY(merge(arena, old, v, false));
        else if (!fv_value_set(arena, into, v->key, fv_value_copy(arena, v)))
            return FV_ERR_NOMEM;
    }
    return FV_OK;
}

fv_status fv_mixer_config_of(fv_arena *arena, const fv_value *attention, int64_t stage,
                             int64_t layer, fv_value **out) {
    *out = NULL;
    FV_TRY(check_map(attention));
    FV_TRY(check_map(fv_value_find(attention, "stage")));
    FV_TRY(check_map(fv_value_find(attention, "layer")));
    const levels from = levels_of(attention, stage, layer);
    for (int i = 0; i < 3; i++) {
        FV_TRY(check_map(from.map[i]));
        if (!from.map[i] || !from.map[i]->count) continue;
        if (!*out) *out = fv_value_new(arena, FV_VALUE_MAP);
        if (!*out) return FV_ERR_NOMEM;
        (*out)->key = "attention";
        FV_TRY(merge(arena, *out, from.map[i], i == 0));
    }
    return FV_OK;
}

static void mark(fv_value *level, const fv_value *own) {
    for (const fv_value *v = own ? own->first : NULL; v; v = v->next) {
        fv_value *said = fv_value_find(level, v->key);
        if (!said || !v->known) continue;
        said->known = true;
        if (said->kind == FV_VALUE_MAP && v->kind == FV_VALUE_MAP) mark(said, v);
    }
}

void fv_mixer_config_read(fv_value *attention, int64_t stage, int64_t layer, const fv_value *own) {
    const levels to = levels_of(attention, stage, layer);
    fv_value *groups[] = {fv_value_find(attention, "stage"), fv_value_find(attention, "layer")};

    for (int i = 0; i < 3; i++) {
        mark(to.map[i], own);
        if (to.map[i]) to.map[i]->known = true;
    }
    for (int i = 0; i < 2; i++)
        if (groups[i]) groups[i]->known = true;
}

/* Keys of every mixer below prefix ("" or "window."), up to the next dot; groups only at the top. */
static void names_below(const char *prefix, const char *names[MAX_KEYS + 1]) {
    const size_t length = strlen(prefix);
    int n = 0;

    for (int i = 0; length == 0 && fv_mixer_at(i) && n < MAX_KEYS; i++)
        names[n++] = fv_mixer_at(i)->kind;
    for (int i = 0; fv_mixer_at(i); i++)
        for (const char *const *key = fv_mixer_at(i)->keys; *key && n < MAX_KEYS; key++)
            if (strncmp(*key, prefix, length) == 0 && !strchr(*key + length, '.'))
                names[n++] = *key + length;
    names[n] = NULL;
}

/* A key of the group called path that nobody asked for. */
static fv_status refuse(const fv_value *v, const char *path, const char *prefix) {
    const char *names[MAX_KEYS + 1];
    char where[512], hint[FV_SUGGEST_TEXT];

    fv_value_key_where(v, where);
    if (!prefix[0] && fv_mixer_find(v->key))
        return FV_FAIL(FV_ERR_CONFIG, "%s%s.%s: no block has the token mixer '%s'", where, path,
                       v->key, v->key);
    names_below(prefix, names);
    for (int i = 0; names[i]; i++)
        if (strcmp(names[i], v->key) == 0)
            return FV_FAIL(FV_ERR_CONFIG, "%s%s.%s: no block has a token mixer with this key",
                           where, path, v->key);
    return FV_FAIL(FV_ERR_CONFIG, "%sunknown key '%s' in %s%s", where, v->key, path,
                   fv_suggest_text(v->key, names, hint));
}

static fv_status check_group(const fv_value *group, const char *path, const char *prefix,
                             bool has_levels) {
    for (const fv_value *v = group->first; v; v = v->next) {
        char inner[128], below[64];
        if (has_levels && is_level(v->key)) continue;
        if (!v->known) return refuse(v, path, prefix);
        if (v->kind != FV_VALUE_MAP) continue;
        snprintf(inner, sizeof inner, "%s.%s", path, v->key);
        snprintf(below, sizeof below, "%s%s.", prefix, v->key);
        FV_TRY(check_group(v, inner, below, false));
    }
    return FV_OK;
}

/* attention.stage or attention.layer: its numbers are those of blocks. */
static fv_status check_level(const fv_value *attention, const char *name) {
    const fv_value *level = fv_value_find(attention, name);
    char path[128], where[512];

    for (const fv_value *v = level ? level->first : NULL; v; v = v->next) {
        snprintf(path, sizeof path, "attention.%s.%s", name, v->key);
        if (!v->known)
            return FV_FAIL(FV_ERR_CONFIG, "%s%s: there is no such %s (they are counted from 0)",
                           fv_value_key_where(v, where), path, name);
        FV_TRY(check_group(v, path, "", false));
    }
    return FV_OK;
}

fv_status fv_mixer_config_check(const fv_value *attention) {
    if (!attention || attention->kind != FV_VALUE_MAP) return FV_OK;
    FV_TRY(check_group(attention, "attention", "", true));
    FV_TRY(check_level(attention, "stage"));
    return check_level(attention, "layer");
}
