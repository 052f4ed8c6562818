/* file.h - whole files in and out; writing never leaves a half-written file under its final name. */
#ifndef FV_CORE_FILE_H
#define FV_CORE_FILE_H

#include "core/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Reads a regular file of at most max_bytes; the caller frees *bytes with fv_free.  A 0 byte follows
 * the content (not counted).  Errors name the path: FV_ERR_NOT_FOUND, FV_ERR_IO, FV_ERR_FORMAT (too
 * large, a folder), FV_ERR_NOMEM. */
fv_status fv_file_read(const char *path, size_t max_bytes, uint8_t **bytes, size_t *n_bytes);

/* Writes path.tmp, fsyncs, renames over path.  On failure the old file is untouched. */
fv_status fv_file_write(const char *path, const void *bytes, size_t n_bytes);

/* mkdir -p; an existing folder is fine. */
fv_status fv_folder_create(const char *path);

/* The same, and finds out whether files can be written there: for output that takes long to make. */
fv_status fv_folder_prepare(const char *path);

/* Keeps other processes from claiming an existing folder until the returned descriptor is released, at the
 * latest when the process ends: -1 where the file system knows no such locks.  FV_ERR_IO: another has it. */
fv_status fv_folder_claim(const char *path, int *claim);
void fv_folder_release(int claim); /* -1 is fine */

/* fsync of a folder, so that names in it survive a power cut. */
fv_status fv_folder_sync(const char *path);

bool fv_file_exists(const char *path);
bool fv_folder_exists(const char *path);

/* Deletes a folder and what is in it; links are removed, not followed.  Absent is fine. */
fv_status fv_folder_remove(const char *path);

/* The names in a folder, without . and .., in byte order; the caller frees with fv_names_free. */
typedef struct fv_names {
    char **name;
    int64_t count;
} fv_names;
fv_status fv_folder_list(const char *path, fv_names *out);
void fv_names_free(fv_names *names);

#endif
