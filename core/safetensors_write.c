#include "core/safetensors.h"

#include "core/json.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LENGTH_BYTES 8

/* The items with larger elements first, else as given: every offset is then a multiple of its
 * element's size, because data starts at one of 8. */
static const fv_safetensors_item **order_items(const fv_safetensors_item items[], int64_t n_items,
                                               fv_arena *arena) {
    const fv_safetensors_item **ordered =
        fv_arena_alloc(arena, (size_t)n_items, sizeof(fv_safetensors_item *));
    int64_t n = 0;

    if (!ordered) return NULL;
    for (size_t size = 8; size > 0; size /= 2)
        for (int64_t i = 0; i < n_items; i++)
            if (fv_dtype_bytes(items[i].tensor.dtype) == size) ordered[n++] = &items[i];
    return ordered;
}

static fv_value *metadata_value(const fv_safetensors_meta meta[], int64_t n_meta, fv_arena *arena) {
    fv_value *map = fv_value_new(arena, FV_VALUE_MAP);

    fv_value_set(arena, map, "format", fv_value_string(arena, "pt"));
    for (int64_t i = 0; i < n_meta; i++)
        fv_value_set(arena, map, meta[i].key, fv_value_string(arena, meta[i].value));
    return map;
}

static fv_value *tensor_value(const fv_tensor *t, int64_t offset, fv_arena *arena) {
    fv_value *map = fv_value_new(arena, FV_VALUE_MAP);
    fv_value *shape = fv_value_new(arena, FV_VALUE_LIST);
    fv_value *range = fv_value_new(arena, FV_VALUE_LIST);

    for (int d = 0; d < t->shape.rank; d++)
        fv_value_add(shape, fv_value_int(arena, t->shape.dim[d]));
    fv_value_add(range, fv_value_int(arena, offset));
    fv_value_add(range, fv_value_int(arena, offset + (int64_t)fv_tensor_bytes(t)));
    fv_value_set(arena, map, "dtype", fv_value_string(arena, fv_dtype_name(t->dtype)));
    fv_value_set(arena, map, "shape", shape);
    fv_value_set(arena, map, "data_offsets", range);
    return map;
}

/* Length and JSON, padded with spaces to a multiple of 8. */
static fv_status build_header(const fv_safetensors_item *const items[], int64_t n_items,
                              const fv_safetensors_meta meta[], int64_t n_meta, fv_arena *arena,
                              char **out, size_t *n_bytes) {
    fv_value *root = fv_value_new(arena, FV_VALUE_MAP);
    int64_t offset = 0;
    char *json = NULL;

    fv_value_set(arena, root, "__metadata__", metadata_value(meta, n_meta, arena));
    for (int64_t i = 0; i < n_items; i++) {
        fv_value *v = tensor_value(&items[i]->tensor, offset, arena);
        if (!fv_value_set(arena, root, items[i]->name, v)) return FV_ERR_NOMEM;
        if (root->count != i + 2)
            return FV_FAIL(FV_ERR_INTERNAL, "two tensors are called '%s'", items[i]->name);
        offset += (int64_t)fv_tensor_bytes(&items[i]->tensor);
    }
    FV_TRY(fv_json_write(root, FV_JSON_COMPACT, arena, &json));
    const size_t length = strlen(json);
    const uint64_t padded = (length + 7) / 8 * 8;
    if (padded > FV_SAFETENSORS_MAX_HEADER)
        return FV_FAIL(FV_ERR_INTERNAL, "%zu bytes of header are too many", length);
    *n_bytes = LENGTH_BYTES + padded;
    *out = fv_arena_alloc(arena, *n_bytes, 1);
    if (!*out) return FV_ERR_NOMEM;
    memset(*out, ' ', *n_bytes);
    memcpy(*out, &padded, LENGTH_BYTES);
    memcpy(*out + LENGTH_BYTES, json, length);
    return FV_OK;
}

static fv_status write_all(int fd, const void *bytes, size_t n) {
    const char *from = bytes;

    while (n > 0) {
        const ssize_t done = write(fd, from, n);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) return FV_FAIL(FV_ERR_IO, "cannot write: %s", strerror(errno));
        from += done;
        n -= (size_t)done;
    }
    return FV_OK;
}

static fv_status write_file(const char *path, const char *header, size_t header_bytes,
                            const fv_safetensors_item *const items[], int64_t n_items) {
    unlink(path); /* what an earlier kill left */
    const int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0) return FV_FAIL(FV_ERR_IO, "cannot create: %s", strerror(errno));

    fv_status status = write_all(fd, header, header_bytes);
    for (int64_t i = 0; i < n_items && status == FV_OK; i++)
        status = write_all(fd, items[i]->tensor.data, fv_tensor_bytes(&items[i]->tensor));
    if (status == FV_OK && fsync(fd) != 0)
        status = FV_FAIL(FV_ERR_IO, "cannot write: %s", strerror(errno));
    if (close(fd) != 0 && status == FV_OK)
        status = FV_FAIL(FV_ERR_IO, "cannot write: %s", strerror(errno));
    return status;
}

fv_status fv_safetensors_save(const char *path, const fv_safetensors_item items[], int64_t n_items,
                              const fv_safetensors_meta meta[], int64_t n_meta) {
    fv_arena arena = {0};
    char *header = NULL;
    size_t header_bytes = 0;
    fv_status status = FV_ERR_NOMEM;

    const fv_safetensors_item **ordered = order_items(items, n_items, &arena);
    const char *temporary = fv_arena_printf(&arena, "%s.tmp", path);
    if (!ordered || !temporary) goto cleanup;
    status = build_header(ordered, n_items, meta, n_meta, &arena, &header, &header_bytes);
    if (status == FV_OK) {
        status = write_file(temporary, header, header_bytes, ordered, n_items);
        if (status == FV_OK && rename(temporary, path) != 0)
            status = FV_FAIL(FV_ERR_IO, "cannot replace: %s", strerror(errno));
        if (status != FV_OK) unlink(temporary);
    }
cleanup:
    fv_arena_destroy(&arena);
    return status == FV_OK ? FV_OK : fv_error_context(status, "%s", path);
}
