#include "core/alloc.h"

#include "core/status.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* AddressSanitizer is told where a block ends, else the rounding up would hide short overruns. */
#if defined(__SANITIZE_ADDRESS__)
#define HAVE_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAVE_ASAN 1
#endif
#endif
#ifdef HAVE_ASAN
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(start, bytes) ((void)(start), (void)(bytes))
#endif

/* The usable size stands in front of the block, in a header of one alignment unit. */
static atomic_uint_fast64_t calls;
static atomic_size_t held;
static atomic_uint_fast64_t fail_at; /* value of calls that fails; 0 = never */

uint64_t fv_alloc_calls(void) { return atomic_load(&calls); }

size_t fv_alloc_bytes(void) { return atomic_load(&held); }

void fv_alloc_fail_at(uint64_t n) { atomic_store(&fail_at, n ? atomic_load(&calls) + n : 0); }

bool fv_alloc_permitted(void) { return atomic_fetch_add(&calls, 1) + 1 != atomic_load(&fail_at); }

void *fv_alloc(size_t count, size_t size) {
    const bool permitted = fv_alloc_permitted();
    size_t bytes, padded;

    if (__builtin_mul_overflow(count, size, &bytes) ||
        __builtin_add_overflow(bytes, (size_t)(2 * FV_ALIGN - 1), &padded)) {
        FV_FAIL(FV_ERR_NOMEM, "allocation of %zu x %zu bytes overflows", count, size);
        return NULL;
    }
    padded -= padded % FV_ALIGN; /* one header unit and bytes rounded up */
    unsigned char *raw = permitted ? aligned_alloc(FV_ALIGN, padded) : NULL;
    if (!raw) {
        FV_FAIL(FV_ERR_NOMEM, "cannot allocate %zu bytes", bytes);
        return NULL;
    }
    memcpy(raw, &bytes, sizeof bytes);
    atomic_fetch_add(&held, bytes);
    ASAN_POISON_MEMORY_REGION(raw + FV_ALIGN + bytes, padded - FV_ALIGN - bytes);
    return raw + FV_ALIGN;
}

void *fv_calloc(size_t count, size_t size) {
    void *p = fv_alloc(count, size);
    if (p) memset(p, 0, count * size);
    return p;
}

void *fv_realloc(void *p, size_t count, size_t size) {
    size_t old = 0;
    void *q = fv_alloc(count, size);

    if (!q || !p) return q;
    memcpy(&old, (unsigned char *)p - FV_ALIGN, sizeof old);
    memcpy(q, p, old < count * size ? old : count * size);
    fv_free(p);
    return q;
}

char *fv_strdup(const char *s) {
    const size_t n = strlen(s) + 1;
    char *copy = fv_alloc(n, 1);
    if (copy) memcpy(copy, s, n);
    return copy;
}

void fv_free(void *p) {
    size_t bytes;

    if (!p) return;
    memcpy(&bytes, (unsigned char *)p - FV_ALIGN, sizeof bytes);
    atomic_fetch_sub(&held, bytes);
    free((unsigned char *)p - FV_ALIGN);
}
