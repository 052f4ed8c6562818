/* dataset_cifar.c - the binary versions of CIFAR-10 and CIFAR-100 (Krizhevsky 2009) as they are
 * distributed:
 *
 *     batches.meta.txt       data_batch_1.bin .. data_batch_5.bin   test_batch.bin
 *     fine_label_names.txt   train.bin   test.bin
 *
 * A record is the label (CIFAR-100: coarse, then fine; the fine one counts) and 3 x 1024 bytes, the
 * red, green and blue plane of 32 x 32 pixels.  Samples keep the order of the files and are called
 * data_batch_1/00000 ...; labels and the order of classes are those of the files. */
#include "core/alloc.h"
#include "data/dataset_list.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define SIDE         32
#define PIXEL_BYTES  (3 * SIDE * SIDE)
#define RECORD_BYTES (2 + PIXEL_BYTES) /* the longer one */

static const fv_planes planes = {SIDE, SIDE};

typedef struct kind {
    const char *layout, *names;
    int64_t n_classes;
    int header_bytes; /* the label is the last of them */
    const char *train[5], *test;
} kind;

static const kind kinds[] = {
    {"cifar10",
     "batches.meta.txt",
     10,
     1,
     {"data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5"},
     "test_batch"},
    {"cifar100", "fine_label_names.txt", 100, 2, {"train"}, "test"},
};
#define KINDS (sizeof kinds / sizeof *kinds)

/* By the names of the classes and one file of either split. */
static fv_status find_kind(const char *root, const kind **out) {
    fv_arena arena = {0};
    fv_status status = FV_OK;

    *out = NULL;
    for (size_t i = 0; i < KINDS && status == FV_OK && !*out; i++) {
        const char *names = fv_arena_printf(&arena, "%s/%s", root, kinds[i].names);
        const char *train = fv_arena_printf(&arena, "%s/%s.bin", root, kinds[i].train[0]);
        const char *test = fv_arena_printf(&arena, "%s/%s.bin", root, kinds[i].test);
        if (!names || !train || !test)
            status = FV_ERR_NOMEM;
        else if (fv_file_exists(names) && (fv_file_exists(train) || fv_file_exists(test)))
            *out = &kinds[i];
    }
    fv_arena_destroy(&arena);
    return status;
}

static fv_status detect(const char *root, bool *found) {
    const kind *k = NULL;

    const fv_status status = find_kind(root, &k);
    *found = k != NULL;
    return status;
}

static fv_status read_names(fv_dataset *ds, const kind *k) {
    char *whole = NULL;
    const char *path = fv_dataset_path(ds, ds->root, k->names);

    if (!path) return FV_ERR_NOMEM;
    ds->class_names = fv_calloc((size_t)k->n_classes, sizeof *ds->class_names);
    if (!ds->class_names) return FV_ERR_NOMEM;
    fv_status status = fv_dataset_read_text(path, &whole);
    char *text = whole;
    for (char *line; status == FV_OK && (line = fv_dataset_next_line(&text));) {
        if (*line == 0) continue;
        const char *name = fv_arena_strdup(&ds->arena, line);
        if (!name)
            status = FV_ERR_NOMEM;
        else if (ds->n_classes == k->n_classes || fv_dataset_label(ds, name) >= 0)
            status = FV_FAIL(FV_ERR_FORMAT, "%s: class '%.80s' twice, or more than %lld classes",
                             path, name, (long long)k->n_classes);
        else
            ds->class_names[ds->n_classes++] = name;
    }
    fv_free(whole);
    if (status == FV_OK && ds->n_classes != k->n_classes)
        status = FV_FAIL(FV_ERR_FORMAT, "%s: %lld class names, expected %lld", path,
                         (long long)ds->n_classes, (long long)k->n_classes);
    return status;
}

static fv_status add_record(fv_dataset *ds, const kind *k, const char *path, const char *file,
                            int64_t i, const uint8_t *record) {
    const int label = record[k->header_bytes - 1];

    if (label >= k->n_classes)
        return FV_FAIL(FV_ERR_FORMAT, "%s: record %lld has label %d of %lld classes", path,
                       (long long)i, label, (long long)k->n_classes);
    const char *name = fv_arena_printf(&ds->arena, "%s/%05lld", file, (long long)i);
    if (!name) return FV_ERR_NOMEM;
    return fv_dataset_append(
        ds, &(fv_sample){.path = path,
                         .name = name,
                         .offset = i * (k->header_bytes + PIXEL_BYTES) + k->header_bytes,
                         .n_bytes = PIXEL_BYTES,
                         .planes = &planes,
                         .label = label});
}

static fv_status add_file(fv_dataset *ds, const kind *k, const char *file) {
    const size_t record_bytes = (size_t)k->header_bytes + PIXEL_BYTES;
    uint8_t record[RECORD_BYTES];
    struct stat info;
    fv_status status = FV_OK;

    const char *path = fv_arena_printf(&ds->arena, "%s/%s.bin", ds->root, file);
    if (!path) return FV_ERR_NOMEM;
    if (stat(path, &info) != 0)
        return FV_FAIL(errno == ENOENT ? FV_ERR_NOT_FOUND : FV_ERR_IO, "%s: %s", path,
                       strerror(errno));
    if (!S_ISREG(info.st_mode) || info.st_size == 0 || (uint64_t)info.st_size % record_bytes != 0)
        return FV_FAIL(FV_ERR_FORMAT, "%s: %lld bytes, not a whole number of records of %zu", path,
                       (long long)info.st_size, record_bytes);
    FILE *stream = fopen(path, "rb");
    if (!stream) return FV_FAIL(FV_ERR_IO, "%s: %s", path, strerror(errno));
    const int64_t n = (int64_t)((uint64_t)info.st_size / record_bytes);
    for (int64_t i = 0; i < n && status == FV_OK; i++) {
        if (fread(record, 1, record_bytes, stream) != record_bytes)
            status = FV_FAIL(FV_ERR_IO, "%s: cannot read record %lld", path, (long long)i);
        else
            status = add_record(ds, k, path, file, i, record);
    }
    fclose(stream);
    return status;
}

static fv_status open_cifar(fv_dataset *ds, const char *split, const fv_dataset_options *options) {
    const kind *k = NULL;

    (void)split;
    (void)options;
    FV_TRY(find_kind(ds->root, &k));
    if (!k) return FV_FAIL(FV_ERR_NOT_FOUND, "%s: the files of CIFAR have gone", ds->root);
    ds->layout = k->layout;
    FV_TRY(read_names(ds, k));
    if (strcmp(ds->split, "train") != 0) return add_file(ds, k, k->test);
    for (int i = 0; i < 5 && k->train[i]; i++) FV_TRY(add_file(ds, k, k->train[i]));
    return FV_OK;
}

const fv_dataset_format fv_dataset_format_cifar = {
    .name = "cifar",
    .expects = "batches.meta.txt with data_batch_1..5.bin and test_batch.bin, or "
               "fine_label_names.txt with train.bin and test.bin",
    .detect = detect,
    .open = open_cifar};
