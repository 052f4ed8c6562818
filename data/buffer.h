/* buffer.h - bytes that are kept and reused: a loader that has seen its largest file allocates no
 * more. */
#ifndef FV_DATA_BUFFER_H
#define FV_DATA_BUFFER_H

#include "core/status.h"

#include <stddef.h>
#include <stdint.h>

/* A zeroed struct is an empty buffer. */
typedef struct fv_buffer {
    uint8_t *bytes;
    size_t size, capacity;
} fv_buffer;

/* Makes room for n_bytes and sets size to it; what was in the buffer may be lost. */
fv_status fv_buffer_reserve(fv_buffer *buffer, size_t n_bytes);

/* Reads a regular file of at most max_bytes.  Errors name the path: FV_ERR_NOT_FOUND, FV_ERR_IO,
 * FV_ERR_FORMAT (too large, a folder), FV_ERR_NOMEM. */
fv_status fv_buffer_read(fv_buffer *buffer, const char *path, size_t max_bytes);

/* The same of n_bytes at an offset of a file, all of them: FV_ERR_FORMAT when it ends before. */
fv_status fv_buffer_read_part(fv_buffer *buffer, const char *path, int64_t offset, size_t n_bytes);

void fv_buffer_free(fv_buffer *buffer); /* leaves an empty buffer */

#endif
