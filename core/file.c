#include "core/file.h"

#include "core/alloc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* Sets the message of a failed system call: "verb path: reason". */
static fv_status system_error(const char *verb, const char *path) {
    const fv_status code = errno == ENOENT || errno == ENOTDIR ? FV_ERR_NOT_FOUND : FV_ERR_IO;
    return FV_FAIL(code, "cannot %s %s: %s", verb, path, strerror(errno));
}

static fv_status read_all(int fd, const char *path, uint8_t *bytes, size_t n_bytes,
                          size_t *n_read) {
    size_t n = 0;

    while (n < n_bytes) {
        const ssize_t got = read(fd, bytes + n, n_bytes - n);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return system_error("read", path);
        if (got == 0) break;
        n += (size_t)got;
    }
    *n_read = n;
    return FV_OK;
}

fv_status fv_file_read(const char *path, size_t max_bytes, uint8_t **bytes, size_t *n_bytes) {
    fv_status status = FV_OK;
    uint8_t *data = NULL;
    struct stat info;

    *bytes = NULL;
    *n_bytes = 0;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not hang us */
    if (fd < 0) return system_error("open", path);
    if (fstat(fd, &info) != 0) {
        status = system_error("read", path);
        goto cleanup;
    }
    if (!S_ISREG(info.st_mode)) {
        status = FV_FAIL(FV_ERR_FORMAT, "%s is %s, not a regular file", path,
                         S_ISDIR(info.st_mode) ? "a folder" : "a device or pipe");
        goto cleanup;
    }
    if ((uint64_t)info.st_size > max_bytes) {
        status = FV_FAIL(FV_ERR_FORMAT, "%s has %lld bytes, more than the limit of %zu", path,
                         (long long)info.st_size, max_bytes);
        goto cleanup;
    }
    data = fv_alloc((size_t)info.st_size + 1, 1);
    if (!data) {
        status = fv_error_context(FV_ERR_NOMEM, "%s", path);
        goto cleanup;
    }
    status = read_all(fd, path, data, (size_t)info.st_size, n_bytes);
    if (status != FV_OK) goto cleanup;
    data[*n_bytes] = 0;
    *bytes = data;
    data = NULL;
cleanup:
    fv_free(data);
    close(fd);
    return status;
}

static fv_status write_all(int fd, const char *path, const uint8_t *bytes, size_t n_bytes) {
    while (n_bytes > 0) {
        const ssize_t n = write(fd, bytes, n_bytes);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return system_error("write", path);
        bytes += n;
        n_bytes -= (size_t)n;
    }
    if (fsync(fd) != 0) return system_error("write", path);
    return FV_OK;
}

fv_status fv_file_write(const char *path, const void *bytes, size_t n_bytes) {
    const size_t temporary_bytes = strlen(path) + sizeof ".tmp";
    char *temporary = fv_alloc(temporary_bytes, 1);

    if (!temporary) return fv_error_context(FV_ERR_NOMEM, "%s", path);
    snprintf(temporary, temporary_bytes, "%s.tmp", path);
    fv_status status = FV_OK;
    const int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) {
        status = system_error("write", temporary);
        goto cleanup;
    }
    status = write_all(fd, path, bytes, n_bytes);
    if (close(fd) != 0 && status == FV_OK) status = system_error("write", path);
    if (status == FV_OK && rename(temporary, path) != 0) status = system_error("replace", path);
    if (status != FV_OK) unlink(temporary);
cleanup:
    fv_free(temporary);
    return status;
}

bool fv_file_exists(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 && S_ISREG(info.st_mode);
}

bool fv_folder_exists(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

fv_status fv_folder_create(const char *path) {
    fv_status status = FV_OK;
    char *prefix = fv_strdup(path);

    if (!prefix) return fv_error_context(FV_ERR_NOMEM, "%s", path);
    for (char *end = prefix; *end && status == FV_OK;) {
        end += strspn(end, "/");
        end += strcspn(end, "/");
        const char kept = *end;
        *end = '\0';
        if (mkdir(prefix, 0777) != 0 && !(errno == EEXIST && fv_folder_exists(prefix))) {
            /* EROFS and EACCES also stand for folders that are there already. */
            if (!fv_folder_exists(prefix)) status = system_error("create folder", prefix);
        }
        *end = kept;
    }
    fv_free(prefix);
    return status;
}

fv_status fv_folder_prepare(const char *path) {
    const size_t n = strlen(path) + sizeof "/.fovea-XXXXXX";

    FV_TRY(fv_folder_create(path));
    char *probe = fv_alloc(n, 1);
    if (!probe) return FV_ERR_NOMEM;
    snprintf(probe, n, "%s/.fovea-XXXXXX", path);
    const int fd = mkstemp(probe);
    const fv_status status =
        fd < 0 ? FV_FAIL(FV_ERR_IO, "cannot write into %s: %s", path, strerror(errno)) : FV_OK;
    if (fd >= 0) {
        close(fd);
        unlink(probe);
    }
    fv_free(probe);
    return status;
}

fv_status fv_folder_claim(const char *path, int *claim) {
    *claim = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*claim < 0) return system_error("open", path);
    if (flock(*claim, LOCK_EX | LOCK_NB) == 0) return FV_OK;
    const bool taken = errno == EWOULDBLOCK;
    fv_folder_release(*claim);
    *claim = -1;
    if (!taken) return FV_OK;
    return FV_FAIL(FV_ERR_IO, "%s is in use by another process that writes there", path);
}

void fv_folder_release(int claim) {
    if (claim >= 0) close(claim);
}

fv_status fv_folder_sync(const char *path) {
    const int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0) return system_error("open", path);
    /* Some file systems cannot sync a folder and say EINVAL; there is nothing more to do then. */
    fv_status status = FV_OK;
    if (fsync(fd) != 0 && errno != EINVAL) status = system_error("sync", path);
    close(fd);
    return status;
}

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *ftw) {
    (void)info;
    (void)ftw;
    return type == FTW_DP || type == FTW_D || type == FTW_DNR ? rmdir(path) : unlink(path);
}

fv_status fv_folder_remove(const char *path) {
    struct stat info;

    if (lstat(path, &info) != 0) return errno == ENOENT ? FV_OK : system_error("remove", path);
    if (!S_ISDIR(info.st_mode) && !S_ISLNK(info.st_mode))
        return FV_FAIL(FV_ERR_IO, "cannot remove %s: not a folder", path);
    if (nftw(path, remove_entry, 32, FTW_DEPTH | FTW_PHYS) != 0)
        return system_error("remove", path);
    return FV_OK;
}

static int compare_names(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Appends a copy of name; the list's room doubles at powers of two. */
static fv_status append_name(fv_names *names, const char *name) {
    const size_t n = (size_t)names->count;

    if ((n & (n - 1)) == 0) {
        char **grown = fv_realloc(names->name, n ? 2 * n : 1, sizeof *grown);
        if (!grown) return FV_ERR_NOMEM;
        names->name = grown;
    }
    names->name[n] = fv_strdup(name);
    if (!names->name[n]) return FV_ERR_NOMEM;
    names->count++;
    return FV_OK;
}

fv_status fv_folder_list(const char *path, fv_names *out) {
    fv_status status = FV_OK;

    *out = (fv_names){0};
    DIR *folder = opendir(path);
    if (!folder) return system_error("list", path);
    while (status == FV_OK) {
        errno = 0;
        const struct dirent *entry = readdir(folder);
        if (!entry && errno != 0) status = system_error("list", path);
        if (!entry) break;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        status = append_name(out, entry->d_name);
    }
    closedir(folder);
    if (status != FV_OK)
        fv_names_free(out);
    else if (out->count > 1)
        qsort(out->name, (size_t)out->count, sizeof *out->name, compare_names);
    return status;
}

void fv_names_free(fv_names *names) {
    for (int64_t i = 0; i < names->count; i++) fv_free(names->name[i]);
    fv_free(names->name);
    *names = (fv_names){0};
}
