/* arena.h - a bump allocator of chained chunks that never move; mark and rewind, no single frees.
 *
 * Chunks are kept across a rewind, so an arena that has reached its working size allocates no more. */
#ifndef FV_CORE_ARENA_H
#define FV_CORE_ARENA_H

#include <stddef.h>

typedef struct fv_arena_chunk fv_arena_chunk;

typedef struct fv_arena {
    fv_arena_chunk *first, *current;
    size_t chunk_bytes; /* least size of a new chunk; 0 = 64 KiB */
} fv_arena;

typedef struct fv_arena_mark {
    fv_arena_chunk *chunk;
    size_t used;
} fv_arena_mark;

/* count * size bytes, FV_ALIGN aligned, uninitialised; NULL when memory runs out (message set).
 * Valid until a rewind past this point or fv_arena_destroy.  A zeroed fv_arena is ready to use. */
void *fv_arena_alloc(fv_arena *arena, size_t count, size_t size);
void *fv_arena_calloc(fv_arena *arena, size_t count, size_t size);
char *fv_arena_strdup(fv_arena *arena, const char *s);

/* printf into the arena; NULL when memory runs out. */
char *fv_arena_printf(fv_arena *arena, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

fv_arena_mark fv_arena_get_mark(const fv_arena *arena);
void fv_arena_rewind(fv_arena *arena, fv_arena_mark mark); /* {0} rewinds to the start */
void fv_arena_destroy(fv_arena *arena);                    /* frees the chunks, zeroes the arena */

#endif
