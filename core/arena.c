#include "core/arena.h"

#include "core/alloc.h"
#include "core/status.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define DEFAULT_CHUNK_BYTES ((size_t)64 * 1024)

struct fv_arena_chunk {
    fv_arena_chunk *next;
    size_t capacity, used;
    unsigned char *data;
};

/* The first kept chunk behind the current one that can hold bytes, or a new one spliced in there. */
static fv_arena_chunk *next_chunk(fv_arena *arena, size_t bytes) {
    fv_arena_chunk **link = arena->current ? &arena->current->next : &arena->first;

    for (fv_arena_chunk *c = *link; c; c = c->next) {
        c->used = 0;
        if (c->capacity >= bytes) return c;
    }
    const size_t least = arena->chunk_bytes ? arena->chunk_bytes : DEFAULT_CHUNK_BYTES;
    const size_t capacity = bytes > least ? bytes : least;
    fv_arena_chunk *c = NULL;
    if (capacity <= SIZE_MAX - FV_ALIGN) c = fv_alloc(1, FV_ALIGN + capacity);
    if (!c) return NULL;
    _Static_assert(sizeof(fv_arena_chunk) <= FV_ALIGN, "the chunk header fits one alignment unit");
    *c = (fv_arena_chunk){
        .next = *link, .capacity = capacity, .data = (unsigned char *)c + FV_ALIGN};
    *link = c;
    return c;
}

void *fv_arena_alloc(fv_arena *arena, size_t count, size_t size) {
    size_t bytes;

    if (__builtin_mul_overflow(count, size, &bytes) || bytes > SIZE_MAX - FV_ALIGN) {
        FV_FAIL(FV_ERR_NOMEM, "allocation of %zu x %zu bytes overflows", count, size);
        return NULL;
    }
    bytes = (bytes + FV_ALIGN - 1) / FV_ALIGN * FV_ALIGN;
    if (!arena->current || arena->current->capacity - arena->current->used < bytes) {
        fv_arena_chunk *c = next_chunk(arena, bytes);
        if (!c) return NULL;
        arena->current = c;
    }
    void *p = arena->current->data + arena->current->used;
    arena->current->used += bytes;
    return p;
}

void *fv_arena_calloc(fv_arena *arena, size_t count, size_t size) {
    void *p = fv_arena_alloc(arena, count, size);
    if (p) memset(p, 0, count * size);
    return p;
}

char *fv_arena_strdup(fv_arena *arena, const char *s) {
    const size_t n = strlen(s) + 1;
    char *copy = fv_arena_alloc(arena, n, 1);
    if (copy) memcpy(copy, s, n);
    return copy;
}

char *fv_arena_printf(fv_arena *arena, const char *format, ...) {
    va_list args, again;

    va_start(args, format);
    va_copy(again, args);
    const int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *s = n < 0 ? NULL : fv_arena_alloc(arena, (size_t)n + 1, 1);
    if (s) vsnprintf(s, (size_t)n + 1, format, again);
    va_end(again);
    return s;
}

fv_arena_mark fv_arena_get_mark(const fv_arena *arena) {
    return (fv_arena_mark){arena->current, arena->current ? arena->current->used : 0};
}

void fv_arena_rewind(fv_arena *arena, fv_arena_mark mark) {
    arena->current = mark.chunk;
    if (mark.chunk) mark.chunk->used = mark.used;
}

void fv_arena_destroy(fv_arena *arena) {
    for (fv_arena_chunk *c = arena->first, *next; c; c = next) {
        next = c->next;
        fv_free(c);
    }
    *arena = (fv_arena){0};
}
