#include "eval/logits_file.h"

#include "core/alloc.h"
#include "core/safetensors.h"
#include "eval/class_names.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct fv_logits_file {
    fv_arena arena; /* path */
    const char *path;
    const fv_dataset *dataset;
    int64_t n, n_classes;
    float *logits;   /* [n_samples, n_classes] */
    int32_t *labels; /* [n_samples] */
    int64_t *index;  /* [n_samples] */
};

/* The writer goes through path.tmp, which must not be a surprise after a long evaluation. */
static fv_status check_writable(fv_logits_file *file, const char *path) {
    struct stat info;

    file->path = fv_arena_strdup(&file->arena, path);
    const char *temporary = fv_arena_printf(&file->arena, "%s.tmp", path);
    if (!file->path || !temporary) return FV_ERR_NOMEM;
    if (stat(path, &info) == 0 && S_ISDIR(info.st_mode))
        return FV_FAIL(FV_ERR_IO, "%s: is a folder, not a file to write", path);
    const int fd = open(temporary, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0)
        return FV_FAIL(errno == ENOENT ? FV_ERR_NOT_FOUND : FV_ERR_IO, "%s: cannot write: %s", path,
                       strerror(errno));
    close(fd);
    unlink(temporary);
    return FV_OK;
}

fv_status fv_logits_file_create(const char *path, const fv_dataset *dataset, int64_t n_classes,
                                fv_logits_file **out) {
    const size_t n = (size_t)dataset->n_samples;

    *out = NULL;
    fv_logits_file *file = fv_calloc(1, sizeof *file);
    if (!file) return FV_ERR_NOMEM;
    fv_status status = check_writable(file, path);
    if (status != FV_OK) goto cleanup;
    file->dataset = dataset;
    file->n_classes = n_classes;
    file->logits = fv_alloc(n, (size_t)n_classes * sizeof *file->logits);
    file->labels = fv_alloc(n, sizeof *file->labels);
    file->index = fv_alloc(n, sizeof *file->index);
    if (!file->logits || !file->labels || !file->index) {
        status = FV_ERR_NOMEM;
        goto cleanup;
    }
    *out = file;
    file = NULL;
cleanup:
    fv_logits_file_destroy(file);
    return status;
}

void fv_logits_file_destroy(fv_logits_file *file) {
    if (!file) return;
    fv_free(file->logits);
    fv_free(file->labels);
    fv_free(file->index);
    fv_arena_destroy(&file->arena);
    fv_free(file);
}

fv_status fv_logits_file_add(void *user, const fv_evaluated *batch) {
    fv_logits_file *file = user;

    if (batch->n_classes != file->n_classes || file->n + batch->n > file->dataset->n_samples)
        return FV_FAIL(FV_ERR_INTERNAL, "%s: more logits than the data set has samples",
                       file->path);
    memcpy(file->logits + file->n * file->n_classes, batch->logits,
           (size_t)(batch->n * file->n_classes) * sizeof *file->logits);
    memcpy(file->labels + file->n, batch->labels, (size_t)batch->n * sizeof *file->labels);
    memcpy(file->index + file->n, batch->index, (size_t)batch->n * sizeof *file->index);
    file->n += batch->n;
    return FV_OK;
}

fv_status fv_logits_file_save(const fv_logits_file *file) {
    const fv_dataset *dataset = file->dataset;
    fv_arena arena = {0};
    char *names = NULL, *classes = NULL;

    fv_status status = fv_sample_names_json(dataset, file->index, file->n, &arena, &names);
    if (status == FV_OK) status = fv_class_names_json(dataset, &arena, &classes);
    if (status != FV_OK) goto cleanup;
    const fv_safetensors_item items[] = {
        {"logits", {file->logits, FV_F32, fv_shape_of(2, file->n, file->n_classes)}},
        {"labels", {file->labels, FV_I32, fv_shape_of(1, file->n)}}};
    const fv_safetensors_meta meta[] = {{"names", names}, {"classes", classes}};
    status = fv_safetensors_save(file->path, items, 2, meta, 2);
cleanup:
    fv_arena_destroy(&arena);
    return status;
}
