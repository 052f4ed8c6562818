/* prefetch.h - memory that is read a few cache lines of a row at a time, which the hardware does not foresee. */
#ifndef FV_CORE_PREFETCH_H
#define FV_CORE_PREFETCH_H

#include "core/alloc.h"

/* Asks for the bytes from p on, for the second cache; it reads nothing and cannot fail. */
static inline void fv_prefetch(const void *p, size_t bytes) {
    for (size_t i = 0; i < bytes; i += FV_ALIGN) __builtin_prefetch((const char *)p + i, 0, 2);
}

#endif
