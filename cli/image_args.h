/* image_args.h - image arguments of a command line: files, and folders that stand for theirs. */
#ifndef FV_CLI_IMAGE_ARGS_H
#define FV_CLI_IMAGE_ARGS_H

#include "core/arena.h"
#include "core/status.h"

#include <stdint.h>

typedef struct fv_image_args {
    const char **path; /* [count], in the arena */
    int64_t count;
} fv_image_args;

/* A file stands for itself, a folder for the image files directly in it (fv_image_has_suffix), in byte
 * order, the first per_folder of them (0 = all).  Nothing is opened.  Errors: FV_ERR_NOT_FOUND names a path
 * that is not there or a folder without images; FV_ERR_IO, FV_ERR_NOMEM. */
fv_status fv_image_args_expand(const char *const *args, int n_args, int64_t per_folder,
                               fv_arena *arena, fv_image_args *out);

#endif
