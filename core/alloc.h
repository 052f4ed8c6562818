/* alloc.h - the only caller of malloc: 64-byte aligned, size arithmetic checked for overflow. */
#ifndef FV_CORE_ALLOC_H
#define FV_CORE_ALLOC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FV_ALIGN 64

/* count * size bytes, aligned to FV_ALIGN, uninitialised; NULL when memory runs out or the product
 * overflows (the error message is set: return FV_ERR_NOMEM).  Zero bytes give a valid pointer.
 * The caller frees with fv_free.  Thread-safe. */
void *fv_alloc(size_t count, size_t size);

/* The same, zeroed. */
void *fv_calloc(size_t count, size_t size);

/* Grows or shrinks a block of fv_alloc, keeping min(old, new) bytes; NULL leaves the old one. */
void *fv_realloc(void *p, size_t count, size_t size);

/* A copy of a string; the caller frees it.  NULL only when memory runs out. */
char *fv_strdup(const char *s);

void fv_free(void *p); /* NULL is fine */

/* For memory that is taken otherwise (region.h): counts as a call of fv_alloc; false when it is the one
 * that has to fail. */
bool fv_alloc_permitted(void);

/* Calls of fv_alloc, fv_calloc and fv_realloc so far, by every thread. */
uint64_t fv_alloc_calls(void);

/* Bytes that are held now, without headers and what is taken otherwise. */
size_t fv_alloc_bytes(void);

/* Tests: the n-th allocation from now (1 = next) fails, and only that one.  0 turns this off. */
void fv_alloc_fail_at(uint64_t n);

#endif
