#include "data/tar.h"

#include "core/alloc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK         512
#define MAX_PAX_BYTES 65536

/* Fields of a header block. */
enum {
    NAME = 0,
    NAME_BYTES = 100,
    SIZE = 124,
    SIZE_BYTES = 12,
    CHECKSUM = 148,
    CHECKSUM_BYTES = 8,
    TYPE = 156,
    MAGIC = 257,
    PREFIX = 345,
    PREFIX_BYTES = 155,
};

typedef struct reader {
    const char *path;
    int fd;
    int64_t n_bytes, at; /* at: of the header in hand */
    uint8_t block[BLOCK];
    /* What extension headers say of the next member. */
    char name[FV_TAR_NAME_BYTES];
    bool has_name, has_size;
    int64_t size;
} reader;

static fv_status fail(const reader *r, const char *what) {
    return FV_FAIL(FV_ERR_FORMAT, "%s: %s at byte %lld", r->path, what, (long long)r->at);
}

static fv_status read_at(const reader *r, int64_t offset, void *bytes, size_t n_bytes) {
    size_t done = 0;

    while (done < n_bytes) {
        const ssize_t n =
            pread(r->fd, (char *)bytes + done, n_bytes - done, (off_t)offset + (off_t)done);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return FV_FAIL(FV_ERR_IO, "%s: %s", r->path, strerror(errno));
        if (n == 0) return fail(r, "the archive has become shorter");
        done += (size_t)n;
    }
    return FV_OK;
}

/* Octal digits with blanks before and blanks or zeros behind; false: something else, or too large. */
static bool parse_octal(const uint8_t *field, int n, int64_t *out) {
    int i = 0, digits = 0;

    *out = 0;
    while (i < n && field[i] == ' ') i++;
    for (; i < n && field[i] >= '0' && field[i] <= '7'; i++, digits++)
        *out = *out * 8 + (field[i] - '0'); /* 12 digits at most */
    for (; i < n; i++)
        if (field[i] != ' ' && field[i] != 0) return false;
    return digits > 0;
}

/* GNU writes sizes from 8 GiB on as a big-endian number behind a byte 0x80. */
static bool parse_size(const uint8_t *field, int64_t *out) {
    if (field[0] != 0x80) return parse_octal(field, SIZE_BYTES, out);
    *out = 0;
    for (int i = 1; i < SIZE_BYTES; i++) {
        if (*out >> 54) return false;
        *out = *out << 8 | field[i];
    }
    return true;
}

static bool checksum_fits(const uint8_t *block) {
    int64_t wanted, sum = 0;

    for (int i = 0; i < BLOCK; i++)
        sum += i >= CHECKSUM && i < CHECKSUM + CHECKSUM_BYTES ? ' ' : block[i];
    return parse_octal(block + CHECKSUM, CHECKSUM_BYTES, &wanted) && sum == wanted;
}

static bool is_zero(const uint8_t *block) {
    for (int i = 0; i < BLOCK; i++)
        if (block[i]) return false;
    return true;
}

/* A name without the "./" that "tar -C folder ." puts in front. */
static fv_status set_name(reader *r, const char *name, size_t n) {
    while (n >= 2 && name[0] == '.' && name[1] == '/') name += 2, n -= 2;
    if (n >= sizeof r->name) return fail(r, "a name that is too long");
    memmove(r->name, name, n);
    r->name[n] = 0;
    r->has_name = true;
    return FV_OK;
}

static fv_status name_of_header(reader *r) {
    char name[NAME_BYTES + PREFIX_BYTES + 2];
    const char *block = (const char *)r->block;
    const bool posix = memcmp(block + MAGIC, "ustar", 6) == 0; /* GNU keeps times in prefix */
    const int prefix = posix ? (int)strnlen(block + PREFIX, PREFIX_BYTES) : 0;

    const int n = snprintf(name, sizeof name, "%.*s%s%.*s", prefix, block + PREFIX,
                           prefix ? "/" : "", NAME_BYTES, block + NAME);
    return set_name(r, name, (size_t)n);
}

/* One "length key=value\n" of a pax header; *used: its length. */
static fv_status take_record(reader *r, const char *text, size_t n, size_t *used) {
    size_t length = 0, i = 0;

    for (; i < n && i < 6 && text[i] >= '0' && text[i] <= '9'; i++)
        length = length * 10 + (size_t)(text[i] - '0');
    if (i == 0 || i >= n || text[i] != ' ' || length > n || length < i + 4 ||
        text[length - 1] != '\n')
        return fail(r, "a broken pax header");
    const char *key = text + i + 1, *end = text + length - 1;
    const char *equals = memchr(key, '=', (size_t)(end - key));
    if (!equals) return fail(r, "a broken pax header");
    const size_t n_key = (size_t)(equals - key), n_value = (size_t)(end - equals - 1);
    *used = length;
    if (n_key == 4 && memcmp(key, "path", 4) == 0) {
        if (memchr(equals + 1, 0, n_value)) return fail(r, "a name with a 0 byte");
        return set_name(r, equals + 1, n_value);
    }
    if (n_key >= 11 && memcmp(key, "GNU.sparse.", 11) == 0)
        return FV_FAIL(FV_ERR_UNSUPPORTED, "%s: a sparse file at byte %lld", r->path,
                       (long long)r->at);
    if (n_key != 4 || memcmp(key, "size", 4) != 0) return FV_OK;
    r->size = 0;
    for (const char *c = equals + 1; c < end; c++) {
        if (*c < '0' || *c > '9' || r->size > INT64_MAX / 10 - 10)
            return fail(r, "a broken size in a pax header");
        r->size = r->size * 10 + (*c - '0');
    }
    r->has_size = true;
    return n_value ? FV_OK : fail(r, "a broken size in a pax header");
}

/* type 'x': a pax header, 'L': the name of GNU. */
static fv_status take_extension(reader *r, int64_t size) {
    char *text = NULL;
    fv_status status = FV_OK;

    if (size > MAX_PAX_BYTES) return fail(r, "an extension header that is too long");
    const size_t n = (size_t)size;
    text = fv_alloc(n + 1, 1);
    if (!text) return FV_ERR_NOMEM;
    status = read_at(r, r->at + BLOCK, text, n);
    if (status == FV_OK && r->block[TYPE] == 'L') {
        status = set_name(r, text, strnlen(text, n));
    } else {
        for (size_t at = 0, used = 0; at < n && status == FV_OK; at += used)
            status = take_record(r, text + at, n - at, &used);
    }
    fv_free(text);
    return status;
}

static fv_status take_file(reader *r, int64_t size,
                           fv_status (*visit)(void *user, const fv_tar_member *member),
                           void *user) {
    if (!r->has_name) FV_TRY(name_of_header(r));
    const size_t n = strlen(r->name);
    if (n == 0) return fail(r, "a member without a name");
    if (r->name[n - 1] == '/') return FV_OK; /* a folder of old archives */
    return visit(user, &(fv_tar_member){r->name, r->at + BLOCK, size});
}

/* The member whose header is in hand; *next: the header behind it. */
static fv_status take_member(reader *r, fv_status (*visit)(void *user, const fv_tar_member *member),
                             void *user, int64_t *next) {
    int64_t size;
    const char type = (char)r->block[TYPE];
    const bool extension = type == 'x' || type == 'L';

    if (memcmp(r->block + MAGIC, "ustar", 5) != 0 || !checksum_fits(r->block))
        return fail(r, "no tar header");
    if (!parse_size(r->block + SIZE, &size)) return fail(r, "a broken size");
    if (r->has_size && !extension) size = r->size;
    if (size > r->n_bytes - r->at - BLOCK) return fail(r, "a member behind the end of the archive");
    const int64_t padded = (size + BLOCK - 1) / BLOCK * BLOCK;
    *next = r->at + BLOCK + padded;
    if (extension) return take_extension(r, size);
    if (type == 'S')
        return FV_FAIL(FV_ERR_UNSUPPORTED, "%s: a sparse file at byte %lld", r->path,
                       (long long)r->at);
    if (type == 'g' || type == 'K') return FV_OK; /* says nothing of names and sizes */
    if (type == '0' || type == 0 || type == '7') FV_TRY(take_file(r, size, visit, user));
    r->has_name = r->has_size = false;
    return FV_OK;
}

static fv_status walk(reader *r, fv_status (*visit)(void *user, const fv_tar_member *member),
                      void *user) {
    for (int64_t next = 0; next < r->n_bytes;) {
        r->at = next;
        if (r->n_bytes - r->at < BLOCK) return fail(r, "an incomplete header");
        FV_TRY(read_at(r, r->at, r->block, BLOCK));
        if (is_zero(r->block)) return r->at > 0 ? FV_OK : fail(r, "no tar header");
        FV_TRY(take_member(r, visit, user, &next));
    }
    return r->n_bytes > 0 ? FV_OK : fail(r, "no tar header");
}

fv_status fv_tar_each(const char *path, fv_status (*visit)(void *user, const fv_tar_member *member),
                      void *user) {
    reader r = {.path = path, .fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
    struct stat info;
    fv_status status = FV_OK;

    if (r.fd < 0)
        return FV_FAIL(errno == ENOENT || errno == ENOTDIR ? FV_ERR_NOT_FOUND : FV_ERR_IO, "%s: %s",
                       path, strerror(errno));
    if (fstat(r.fd, &info) != 0)
        status = FV_FAIL(FV_ERR_IO, "%s: %s", path, strerror(errno));
    else if (!S_ISREG(info.st_mode))
        status = FV_FAIL(FV_ERR_FORMAT, "%s: not a regular file", path);
    if (status == FV_OK) {
        r.n_bytes = (int64_t)info.st_size;
        status = walk(&r, visit, user);
    }
    close(r.fd);
    return status;
}
