/* json.h - JSON text to and from fv_value (the only file that sees jansson.h is json.c). */
#ifndef FV_CORE_JSON_H
#define FV_CORE_JSON_H

#include "core/value.h"

#include <stddef.h>

/* Parses n_bytes of UTF-8 JSON (any top-level value) into arena.  name is used in messages (a path).
 * Duplicate keys, nesting beyond 64 levels, invalid UTF-8 and trailing bytes are FV_ERR_FORMAT.
 * Integers outside int64 become REAL. */
fv_status fv_json_parse(const char *text, size_t n_bytes, const char *name, fv_arena *arena,
                        fv_value **out);

/* Reads a file of at most max_bytes. */
fv_status fv_json_load(const char *path, size_t max_bytes, fv_arena *arena, fv_value **out);

typedef enum fv_json_style { FV_JSON_COMPACT, FV_JSON_INDENT } fv_json_style;

/* Writes v as JSON text, 0-terminated, into arena.  Doubles are written so that they read back to the
 * same bits; NaN and infinities as null.  Map order is kept. */
fv_status fv_json_write(const fv_value *v, fv_json_style style, fv_arena *arena, char **out);

#endif
