#include "cli/image_args.h"

#include "core/alloc.h"
#include "core/file.h"
#include "data/image.h"

#include <string.h>

/* Paths in a block that doubles; the caller copies it. */
static fv_status append(const char *path, int64_t *capacity, fv_image_args *list) {
    if (!path) return FV_ERR_NOMEM;
    if (list->count == *capacity) {
        const int64_t wanted = *capacity ? 2 * *capacity : 64;
        const char **grown = fv_realloc(list->path, (size_t)wanted, sizeof *grown);
        if (!grown) return FV_ERR_NOMEM;
        list->path = grown;
        *capacity = wanted;
    }
    list->path[list->count++] = path;
    return FV_OK;
}

static fv_status append_folder(const char *folder, int64_t limit, fv_arena *arena,
                               int64_t *capacity, fv_image_args *list) {
    const size_t n = strlen(folder);
    const char *slash = n && folder[n - 1] == '/' ? "" : "/";
    const int64_t first = list->count;
    fv_names names = {0};

    fv_status status = fv_folder_list(folder, &names);
    for (int64_t i = 0; i < names.count && status == FV_OK; i++) {
        if (limit > 0 && list->count - first == limit) break;
        if (names.name[i][0] == '.' || !fv_image_has_suffix(names.name[i])) continue;
        const char *path = fv_arena_printf(arena, "%s%s%s", folder, slash, names.name[i]);
        if (path && fv_folder_exists(path)) continue;
        status = append(path, capacity, list);
    }
    if (status == FV_OK && list->count == first)
        status =
            FV_FAIL(FV_ERR_NOT_FOUND, "%s: no image files (.jpg, .png ...) directly in it", folder);
    fv_names_free(&names);
    return status;
}

fv_status fv_image_args_expand(const char *const *args, int n_args, int64_t per_folder,
                               fv_arena *arena, fv_image_args *out) {
    fv_image_args list = {0};
    int64_t capacity = 0;
    fv_status status = FV_OK;

    *out = (fv_image_args){0};
    for (int i = 0; i < n_args && status == FV_OK; i++) {
        if (fv_folder_exists(args[i]))
            status = append_folder(args[i], per_folder, arena, &capacity, &list);
        else if (fv_file_exists(args[i]))
            status = append(args[i], &capacity, &list);
        else
            status = FV_FAIL(FV_ERR_NOT_FOUND, "%s: no such image or folder", args[i]);
    }
    if (status == FV_OK) {
        out->path = fv_arena_alloc(arena, (size_t)list.count, sizeof *out->path);
        if (!out->path) status = FV_ERR_NOMEM;
    }
    if (status == FV_OK) {
        memcpy(out->path, list.path, (size_t)list.count * sizeof *out->path);
        out->count = list.count;
    }
    fv_free(list.path);
    return status;
}
