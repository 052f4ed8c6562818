/* text.h - a string that grows while it is written: help texts, JSON, YAML, CSV lines. */
#ifndef FV_CORE_TEXT_H
#define FV_CORE_TEXT_H

#include "core/arena.h"
#include "core/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A zeroed fv_text is ready to use.  A failed allocation is remembered and later calls do nothing,
 * so that only fv_text_take (or .failed) needs a check. */
typedef struct fv_text {
    char *data;   /* 0-terminated once something was appended, else NULL */
    size_t bytes; /* without the terminator */
    size_t capacity;
    bool failed;
} fv_text;

void fv_text_append(fv_text *t, const char *s);
void fv_text_append_bytes(fv_text *t, const char *s, size_t n_bytes);
void fv_text_repeat(fv_text *t, char c, int64_t count);
void fv_text_printf(fv_text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The shortest of 15, 16 or 17 digits that reads back to the same bits, always with a point, so that
 * JSON, YAML 1.1 and YAML 1.2 all read a float: 0.1, 1.0, 1.0e-05.  v must be finite. */
void fv_text_real(fv_text *t, double v);

/* "..." with JSON escapes, which YAML reads too; bytes that are not UTF-8 become U+FFFD. */
void fv_text_quoted(fv_text *t, const char *s);

/* Copies the text ("" when empty) into arena and frees t; FV_ERR_NOMEM also for an earlier failure. */
fv_status fv_text_take(fv_text *t, fv_arena *arena, char **out);

void fv_text_free(fv_text *t); /* zeroes it */

#endif
