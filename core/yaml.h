/* yaml.h - YAML text to and from fv_value (the only file that sees libyaml's yaml.h is yaml.c).
 *
 * One document.  Plain scalars have the types of YAML 1.2's core schema: null ~ true false, integers
 * (decimal, 0o17, 0xff), floats (1e-3 and .inf too); everything else, yes and no included, is a string.
 * Quoted scalars are strings.  Aliases become copies.  Refused: duplicate keys, keys that are not
 * scalars, tags other than !!str, several documents, more than 64 levels or 20000 values. */
#ifndef FV_CORE_YAML_H
#define FV_CORE_YAML_H

#include "core/value.h"

#include <stddef.h>

/* Parses n_bytes of UTF-8 into arena; every value carries name (a path), line and column.  An empty
 * document is a null value.  Errors: FV_ERR_CONFIG "name:line:column: message", FV_ERR_NOMEM. */
fv_status fv_yaml_parse(const char *text, size_t n_bytes, const char *name, fv_arena *arena,
                        fv_value **out);

/* Reads a file of at most 1 MiB.  FV_ERR_CONFIG also when it is missing or unreadable. */
fv_status fv_yaml_load(const char *path, fv_arena *arena, fv_value **out);

/* Types one plain scalar ("0.1" is REAL).  NULL when memory runs out. */
fv_value *fv_yaml_scalar(fv_arena *arena, const char *text);

/* Writes v as a document, 0-terminated, into arena: maps in block style, lists on one line.  Reading
 * it back gives the same values; YAML 1.1 readers (PyYAML) see the same types. */
fv_status fv_yaml_write(const fv_value *v, fv_arena *arena, char **out);

#endif
