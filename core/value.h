/* value.h - a parsed document: the one tree for configuration (YAML) and JSON.
 *
 * Values live in the arena they were created in.  Maps keep insertion order and hold each key once.
 * Readers of configuration ask for typed keys (fv_value_get_*), which marks them as known; what
 * nobody asked for is an error found by fv_value_check_known. */
#ifndef FV_CORE_VALUE_H
#define FV_CORE_VALUE_H

#include "core/arena.h"
#include "core/status.h"

#include <stdbool.h>
#include <stdint.h>

typedef enum fv_value_kind {
    FV_VALUE_NULL,
    FV_VALUE_BOOL,
    FV_VALUE_INT,
    FV_VALUE_REAL,
    FV_VALUE_STRING,
    FV_VALUE_LIST,
    FV_VALUE_MAP,
} fv_value_kind;

typedef struct fv_value fv_value;
struct fv_value {
    fv_value_kind kind;
    const char *key;               /* own key when inside a map, else NULL */
    const char *text;              /* STRING: its bytes, 0-terminated; YAML scalars: as written */
    int64_t integer;               /* INT; BOOL as 0 or 1 */
    double real;                   /* REAL; INT as double */
    fv_value *first, *last, *next; /* children of LIST and MAP in order; next sibling */
    int64_t count;                 /* children */
    const char *file;              /* NULL when not from a file */
    int line, column;              /* from 1; 0 unknown */
    int key_line, key_column;      /* of the key; 0 unknown */
    bool known;                    /* somebody asked for it */
    bool incomplete;               /* LIST, MAP: an item was lost because memory ran out */
};

/* New values in an arena; NULL when memory runs out. */
fv_value *fv_value_new(fv_arena *arena, fv_value_kind kind);
fv_value *fv_value_int(fv_arena *arena, int64_t v);
fv_value *fv_value_real(fv_arena *arena, double v);
fv_value *fv_value_bool(fv_arena *arena, bool v);
fv_value *fv_value_string(fv_arena *arena, const char *s); /* NULL s gives a null value */

/* Builders for documents we write: a NULL item or container (memory ran out) is passed through and
 * marks the container incomplete, which the writers (fv_json_write, fv_yaml_write) turn into
 * FV_ERR_NOMEM, so that nothing needs a check before them.  A key that is already there is replaced
 * in place.  Return the item. */
fv_value *fv_value_add(fv_value *list, fv_value *item);
fv_value *fv_value_set(fv_arena *arena, fv_value *map, const char *key, fv_value *item);

/* The child with that key, NULL when absent or map is not a MAP.  Does not mark it known. */
fv_value *fv_value_find(const fv_value *map, const char *key);
fv_value *fv_value_at(const fv_value *list, int64_t i);

/* A deep copy into an arena; NULL when memory runs out. */
fv_value *fv_value_copy(fv_arena *arena, const fv_value *v);

/* Copies what the map from holds over the map into; maps within them are merged too.  FV_ERR_NOMEM. */
fv_status fv_value_merge(fv_arena *arena, fv_value *into, const fv_value *from);

/* Typed look-up: an absent key, a null one or a NULL map leaves *out as it is (the caller's default)
 * and is FV_OK.  A wrong type or a value outside [min, max] is FV_ERR_CONFIG with
 * "file:line:column: key: what is wrong". */
fv_status fv_value_get_int(fv_value *map, const char *key, int64_t min, int64_t max, int64_t *out);
fv_status fv_value_get_real(fv_value *map, const char *key, double min, double max, double *out);
fv_status fv_value_get_bool(fv_value *map, const char *key, bool *out);
fv_status fv_value_get_string(fv_value *map, const char *key, const char **out);
/* A list of up to max_count integers, or one integer; *count is set to its length. */
fv_status fv_value_get_ints(fv_value *map, const char *key, int64_t min, int64_t max,
                            int64_t max_count, int64_t out[], int64_t *count);

/* A map; its own keys are for the caller to ask for. */
fv_status fv_value_get_map(fv_value *map, const char *key, fv_value **out);

/* FV_ERR_CONFIG for the first key of map that no fv_value_get_* asked for, with its position and
 * "did you mean" over the n known names (NULL-terminated list, may be NULL). */
fv_status fv_value_check_known(const fv_value *map, const char *const *names);

/* The kind in words for messages: "an integer", "a list". */
const char *fv_value_kind_text(fv_value_kind kind);

/* "file:line:column: " of a value into text ("file: " without a line), "" when unknown; returns
 * text. */
const char *fv_value_where(const fv_value *v, char text[512]);

/* The same for its key. */
const char *fv_value_key_where(const fv_value *v, char text[512]);

#endif
