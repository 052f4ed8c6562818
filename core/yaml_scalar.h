/* yaml_scalar.h - the types of plain scalars, YAML 1.2 core schema (yaml.org/spec/1.2.2, 10.3.2). */
#ifndef FV_CORE_YAML_SCALAR_H
#define FV_CORE_YAML_SCALAR_H

#include "core/value.h"

/* Gives v, a STRING with its text, the kind and number that its text stands for.  The text stays.
 * Integers outside int64 become REAL. */
void fv_yaml_resolve(fv_value *v);

/* Whether s may be written without quotes and reads back as the same string, in YAML 1.1 too. */
bool fv_yaml_is_plain(const char *s);

#endif
