#include "data/buffer.h"

#include "core/alloc.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

fv_status fv_buffer_reserve(fv_buffer *buffer, size_t n_bytes) {
    if (n_bytes > buffer->capacity) {
        /* Half as much again, so that slowly growing files do not allocate each time. */
        const size_t capacity = n_bytes + n_bytes / 2;
        uint8_t *bytes = fv_alloc(capacity, 1);
        if (!bytes) return FV_ERR_NOMEM;
        fv_free(buffer->bytes);
        buffer->bytes = bytes;
        buffer->capacity = capacity;
    }
    buffer->size = n_bytes;
    return FV_OK;
}

static fv_status read_all(int fd, const char *path, size_t max_bytes, fv_buffer *buffer) {
    struct stat info;

    if (fstat(fd, &info) != 0) return FV_FAIL(FV_ERR_IO, "%s: %s", path, strerror(errno));
    if (!S_ISREG(info.st_mode)) return FV_FAIL(FV_ERR_FORMAT, "%s: not a regular file", path);
    if ((uint64_t)info.st_size > max_bytes)
        return FV_FAIL(FV_ERR_FORMAT, "%s: %lld bytes, more than the limit of %zu", path,
                       (long long)info.st_size, max_bytes);
    FV_TRY(fv_buffer_reserve(buffer, (size_t)info.st_size));
    size_t done = 0;
    while (done < buffer->size) {
        const ssize_t n = read(fd, buffer->bytes + done, buffer->size - done);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return FV_FAIL(FV_ERR_IO, "%s: %s", path, strerror(errno));
        if (n == 0) break; /* the file became shorter meanwhile: its decoder will say so */
        done += (size_t)n;
    }
    buffer->size = done;
    return FV_OK;
}

static fv_status open_file(const char *path, int *fd) {
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* never waits on a named pipe */
    if (*fd >= 0) return FV_OK;
    return FV_FAIL(errno == ENOENT || errno == ENOTDIR ? FV_ERR_NOT_FOUND : FV_ERR_IO, "%s: %s",
                   path, strerror(errno));
}

fv_status fv_buffer_read(fv_buffer *buffer, const char *path, size_t max_bytes) {
    int fd = -1;

    FV_TRY(open_file(path, &fd));
    const fv_status status = read_all(fd, path, max_bytes, buffer);
    close(fd);
    return status;
}

static fv_status read_part(int fd, const char *path, int64_t offset, fv_buffer *buffer) {
    size_t done = 0;

    while (done < buffer->size) {
        const ssize_t n =
            pread(fd, buffer->bytes + done, buffer->size - done, (off_t)offset + (off_t)done);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return FV_FAIL(FV_ERR_IO, "%s: %s", path, strerror(errno));
        if (n == 0)
            return FV_FAIL(FV_ERR_FORMAT, "%s: ends before byte %lld", path,
                           (long long)offset + (long long)buffer->size);
        done += (size_t)n;
    }
    return FV_OK;
}

fv_status fv_buffer_read_part(fv_buffer *buffer, const char *path, int64_t offset, size_t n_bytes) {
    int fd = -1;

    FV_TRY(fv_buffer_reserve(buffer, n_bytes));
    FV_TRY(open_file(path, &fd));
    const fv_status status = read_part(fd, path, offset, buffer);
    close(fd);
    return status;
}

void fv_buffer_free(fv_buffer *buffer) {
    fv_free(buffer->bytes);
    *buffer = (fv_buffer){0};
}
