/* settings.h - the values of all options: defaults < configuration file < flags and --set.
 *
 *     fv_settings settings;
 *     fv_settings_init(&settings);
 *     status = fv_settings_load(&settings, "configs/vit.yaml", FV_CMD_TRAIN);
 *     if (status == FV_OK) status = fv_settings_set(&settings, "lr", "1e-3", "--lr", FV_CMD_TRAIN);
 *     ... settings.lr, settings.given.lr ...
 *     fv_settings_destroy(&settings);
 *
 * Every refusal is FV_ERR_CONFIG: an unknown key (with "did you mean"), a wrong type, a value out of
 * range, an option of another command.  The message starts with file:line:column or the flag. */
#ifndef FV_CORE_SETTINGS_H
#define FV_CORE_SETTINGS_H

#include "core/arena.h"
#include "core/option_list.h"
#include "core/status.h"
#include "core/value.h"

#include <stdbool.h>
#include <stdint.h>

#define FV_REALS_MAX 4

typedef struct fv_reals {
    int count; /* 0 = not set */
    double v[FV_REALS_MAX];
} fv_reals;

typedef struct fv_settings {
    /* One field per line of option_list.h.  Strings are never NULL; maps may be NULL (empty). */
#define FV_INT(name, ...)    int64_t name;
#define FV_REAL(name, ...)   double name;
#define FV_BOOL(name, ...)   bool name;
#define FV_STRING(name, ...) const char *name;
#define FV_REALS(name, ...)  fv_reals name;
#define FV_MAP(name, ...)    fv_value *name;
    FV_OPTION_LIST(FV_INT, FV_REAL, FV_BOOL, FV_STRING, FV_REALS, FV_MAP)
#undef FV_INT
#undef FV_REAL
#undef FV_BOOL
#undef FV_STRING
#undef FV_REALS
#undef FV_MAP
    /* What a file or a flag gave, as against a default: settings.given.lr. */
    struct {
#define FV_GIVEN(name, ...) bool name;
        FV_OPTION_LIST(FV_GIVEN, FV_GIVEN, FV_GIVEN, FV_GIVEN, FV_GIVEN, FV_GIVEN)
#undef FV_GIVEN
    } given;
    fv_arena arena; /* owns strings and maps */
} fv_settings;

void fv_settings_init(fv_settings *s); /* the defaults; allocates nothing */
void fv_settings_destroy(fv_settings *s);

/* Reads a YAML file over what is there; commands are the bits whose options it may hold.  A null
 * value leaves an option as it is. */
fv_status fv_settings_load(fv_settings *s, const char *path, uint32_t commands);

/* The same from a parsed map, which is copied.  Maps (model_kwargs ...) are merged key by key. */
fv_status fv_settings_merge(fv_settings *s, const fv_value *map, uint32_t commands);

/* One option from text.  key may be dotted into a map: model_kwargs.depth; '-' counts as '_'.  text
 * is verbatim for STRING, otherwise YAML ("3", "[0.9, 0.999]", "0.9,0.999", "{kind: mean}").  where
 * starts messages: the flag. */
fv_status fv_settings_set(fv_settings *s, const char *key, const char *text, const char *where,
                          uint32_t commands);

/* The resolved values of the options of commands as a map in arena, FLAG_ONLY and NOT_SAVED ones
 * left out; and as YAML text, which loads to the same settings. */
fv_value *fv_settings_tree(const fv_settings *s, uint32_t commands, fv_arena *arena);
fv_status fv_settings_write(const fv_settings *s, uint32_t commands, fv_arena *arena, char **yaml);

#endif
