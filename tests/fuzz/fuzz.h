/* fuzz.h - what fuzz targets share. */
#ifndef FV_TESTS_FUZZ_FUZZ_H
#define FV_TESTS_FUZZ_FUZZ_H

#include "core/value.h"
#include "tests/fuzz/fuzz_list.h"

#include <stdbool.h>

/* Aborts, naming the property, unless it holds. */
#define FUZZ_REQUIRE(property) ((property) ? (void)0 : fuzz_broken(#property, __FILE__, __LINE__))
_Noreturn void fuzz_broken(const char *property, const char *file, int line);

/* Aborts unless status is one of the two kinds and comes with a message of one printable line. */
void fuzz_require_failure(fv_status status, fv_status kind, fv_status other);

/* Equal kinds, keys, order and content; NaN equals NaN. */
bool fuzz_same_value(const fv_value *a, const fv_value *b);

/* A folder of this process for targets that read files: made at the first call, removed at exit. */
const char *fuzz_folder(void);

/* Writes a file below fuzz_folder(), making folders on the way; aborts on failure. */
void fuzz_write(const char *name, const void *bytes, size_t n_bytes);

#endif
