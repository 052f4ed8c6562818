#include "core/option.h"
#include "core/settings.h"
#include "core/yaml.h"

static fv_value *reals_value(const fv_reals *reals, fv_arena *arena) {
    if (reals->count == 0) return fv_value_new(arena, FV_VALUE_NULL);
    fv_value *list = fv_value_new(arena, FV_VALUE_LIST);
    for (int i = 0; i < reals->count; i++) fv_value_add(list, fv_value_real(arena, reals->v[i]));
    return list;
}

static fv_value *option_value(const fv_settings *s, const fv_option *o, fv_arena *arena) {
    const void *field = (const char *)s + o->offset;

    switch (o->type) {
    case FV_OPTION_INT:
        return fv_value_int(arena, *(const int64_t *)field);
    case FV_OPTION_REAL:
        return fv_value_real(arena, *(const double *)field);
    case FV_OPTION_BOOL:
        return fv_value_bool(arena, *(const bool *)field);
    case FV_OPTION_STRING:
        return fv_value_string(arena, *(const char *const *)field);
    case FV_OPTION_REALS:
        return reals_value(field, arena);
    case FV_OPTION_MAP:
        break;
    }
    const fv_value *map = *(fv_value *const *)field;
    return map ? fv_value_copy(arena, map) : fv_value_new(arena, FV_VALUE_MAP);
}

fv_value *fv_settings_tree(const fv_settings *s, uint32_t commands, fv_arena *arena) {
    fv_value *map = fv_value_new(arena, FV_VALUE_MAP);

    for (int i = 0; i < fv_n_options; i++) {
        const fv_option *o = &fv_option_table[i];
        if (!(o->commands & commands & FV_CMD_EVERY) || o->commands & FV_OPTION_NOT_SAVED) continue;
        fv_value_set(arena, map, o->name, option_value(s, o, arena));
    }
    return map;
}

fv_status fv_settings_write(const fv_settings *s, uint32_t commands, fv_arena *arena, char **yaml) {
    return fv_yaml_write(fv_settings_tree(s, commands, arena), arena, yaml);
}
