/* dataset_tar.c - tar shards:
 *
 *     train/NAME.tar ...        validation/NAME.tar ... (or val/, test/)
 *     or in the root: archives whose names hold train, and validation, val or test
 *
 * In an archive either the members are those of an image folder, CLASS/NAME.jpg, below a folder of the
 * split or not; or every image has its label beside it, KEY.jpg and KEY.cls, as WebDataset writes them (KEY
 * ends at the first dot of the file's name).  Labels in .cls files are numbers; their classes are the
 * lines of classes.txt in the root, or without it "0" .. the largest of training.  Names of samples are
 * ARCHIVE/MEMBER; samples keep the order of the archives, which come in byte order. */
#include "core/alloc.h"
#include "data/tar.h"
#include "data/tar_shards.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- is it one? ---- */

static const char *const train_words[] = {"train"};

/* Class folders win: archives beside them are what they were unpacked from. */
static fv_status holds_folders(const char *root, const char *word, fv_arena *arena, bool *found) {
    fv_names names = {0};
    fv_status status = FV_OK;
    const char *folder = fv_arena_printf(arena, "%s/%s", root, word);

    if (!folder) return FV_ERR_NOMEM;
    if (!fv_folder_exists(folder)) return FV_OK;
    FV_TRY(fv_folder_list(folder, &names));
    for (int64_t i = 0; i < names.count && !*found && status == FV_OK; i++) {
        if (names.name[i][0] == '.') continue;
        const char *path = fv_arena_printf(arena, "%s/%s", folder, names.name[i]);
        if (path)
            *found = fv_folder_exists(path);
        else
            status = FV_ERR_NOMEM;
    }
    fv_names_free(&names);
    return status;
}

static fv_status detect(const char *root, bool *found) {
    static const char *const words[] = {"train", "validation", "val", "test"};
    fv_arena arena = {0};
    fv_tar_place p = {0};
    bool folders = false;

    fv_status status = fv_tar_find(root, words, 4, &arena, &p);
    for (int i = 0; i < 4 && p.folder && !folders && status == FV_OK; i++)
        status = holds_folders(root, words[i], &arena, &folders);
    *found = status == FV_OK && p.folder && !folders;
    fv_arena_destroy(&arena);
    return status;
}

/* ---- classes ---- */

/* The folder that names the class of a member, below a folder of the split; *n 0: there is none. */
static const char *class_of(const fv_sample *sample, size_t *n) {
    static const char *const splits[] = {"train/", "validation/", "val/", "test/"};
    const char *name = strchr(sample->name, '/') + 1; /* behind the archive's */

    for (size_t i = 0; i < sizeof splits / sizeof *splits; i++) {
        const size_t k = strlen(splits[i]);
        if (strncmp(name, splits[i], k) == 0 && strchr(name + k, '/')) {
            name += k;
            break;
        }
    }
    const char *slash = strchr(name, '/');
    *n = slash ? (size_t)(slash - name) : 0;
    return name;
}

static fv_status start_names(fv_dataset *ds, int64_t n) {
    ds->class_names = fv_calloc((size_t)n, sizeof *ds->class_names);
    return ds->class_names ? FV_OK : FV_ERR_NOMEM;
}

static fv_status add_name(fv_dataset *ds, const char *name, size_t n) {
    const char *copy = fv_arena_printf(&ds->arena, "%.*s", (int)n, name);
    if (!copy) return FV_ERR_NOMEM;
    ds->class_names[ds->n_classes++] = copy;
    return FV_OK;
}

static fv_status read_names(fv_dataset *ds, const char *path) {
    char *whole = NULL;
    int64_t n_lines = 1;

    FV_TRY(fv_dataset_read_text(path, &whole));
    for (const char *p = whole; *p; p++) n_lines += *p == '\n';
    fv_status status = start_names(ds, n_lines);
    char *text = whole;
    for (char *line; status == FV_OK && (line = fv_dataset_next_line(&text));) {
        if (*line == 0) continue;
        if (fv_dataset_label(ds, line) >= 0)
            status = FV_FAIL(FV_ERR_FORMAT, "%s: class '%.80s' twice", path, line);
        else
            status = add_name(ds, line, strlen(line));
    }
    fv_free(whole);
    return status;
}

static fv_status number_names(fv_dataset *ds, int32_t largest) {
    char text[16];

    FV_TRY(start_names(ds, (int64_t)largest + 1));
    for (int32_t c = 0; c <= largest; c++) {
        const int n = snprintf(text, sizeof text, "%d", (int)c);
        FV_TRY(add_name(ds, text, (size_t)n));
    }
    return FV_OK;
}

/* The folders of samples, each once. */
static fv_status folder_names(fv_dataset *ds, const fv_dataset *samples, fv_class_order order) {
    const char *last = "";
    size_t n_last = 0;
    int64_t n = 0;

    FV_TRY(start_names(ds, samples->n_samples));
    for (int64_t i = 0; i < samples->n_samples; i++) {
        size_t k;
        const char *name = class_of(&samples->samples[i], &k);
        if (k == n_last && memcmp(name, last, k) == 0) continue; /* mostly neighbours */
        FV_TRY(add_name(ds, name, k));
        last = name;
        n_last = k;
    }
    fv_dataset_sort_classes(ds, order);
    for (int64_t i = 0; i < ds->n_classes; i++)
        if (n == 0 || strcmp(ds->class_names[n - 1], ds->class_names[i]) != 0)
            ds->class_names[n++] = ds->class_names[i];
    ds->n_classes = n;
    return FV_OK;
}

static int32_t largest_label(const fv_dataset *ds) {
    int32_t largest = FV_TAR_UNKNOWN;

    for (int64_t i = 0; i < ds->n_samples; i++)
        if (ds->samples[i].label > largest) largest = ds->samples[i].label;
    return largest;
}

/* samples: those of training, or what there is. */
static fv_status find_names(fv_dataset *ds, const fv_dataset *samples, fv_class_order order) {
    const int32_t largest = largest_label(samples);
    return largest == FV_TAR_UNKNOWN ? folder_names(ds, samples, order) : number_names(ds, largest);
}

typedef struct named {
    const char *name;
    int32_t label;
} named;

static int compare_named(const void *a, const void *b) {
    return strcmp(((const named *)a)->name, ((const named *)b)->name);
}

static fv_status set_label(const fv_dataset *ds, const named *sorted, fv_sample *sample) {
    char text[FV_TAR_NAME_BYTES];
    size_t n;

    if (sample->label != FV_TAR_UNKNOWN) {
        if (sample->label < ds->n_classes) return FV_OK;
        return FV_FAIL(FV_ERR_FORMAT, "%s: %s: label %d of %lld classes", sample->path,
                       sample->name, (int)sample->label, (long long)ds->n_classes);
    }
    const char *name = class_of(sample, &n);
    memcpy(text, name, n); /* shorter than a name in an archive */
    text[n] = 0;
    const named wanted = {.name = text};
    const named *found =
        n > 0 ? bsearch(&wanted, sorted, (size_t)ds->n_classes, sizeof *sorted, compare_named)
              : NULL;
    if (!found)
        return FV_FAIL(FV_ERR_FORMAT, "%s: %s: neither a .cls nor a folder of a known class",
                       sample->path, sample->name);
    sample->label = found->label;
    return FV_OK;
}

static fv_status set_labels(fv_dataset *ds) {
    named *sorted = fv_alloc((size_t)ds->n_classes, sizeof *sorted);
    fv_status status = FV_OK;

    if (!sorted) return FV_ERR_NOMEM;
    for (int64_t c = 0; c < ds->n_classes; c++) sorted[c] = (named){ds->class_names[c], (int32_t)c};
    if (ds->n_classes > 0) qsort(sorted, (size_t)ds->n_classes, sizeof *sorted, compare_named);
    for (int64_t i = 0; i < ds->n_samples && status == FV_OK; i++)
        status = set_label(ds, sorted, &ds->samples[i]);
    fv_free(sorted);
    return status;
}

/* ---- the format ---- */

/* Training fixes the classes of both splits. */
static fv_status names_of_training(fv_dataset *ds, fv_class_order order) {
    fv_dataset train = {0};
    fv_tar_place p;

    fv_status status = fv_tar_find(ds->root, train_words, 1, &train.arena, &p);
    if (status == FV_OK && p.folder) status = fv_tar_read(&train, &p);
    if (status == FV_OK) status = find_names(ds, train.n_samples ? &train : ds, order);
    fv_free(train.samples);
    fv_arena_destroy(&train.arena);
    return status;
}

static fv_status set_names(fv_dataset *ds, fv_class_order order) {
    const char *path = fv_dataset_path(ds, ds->root, "classes.txt");

    if (!path) return FV_ERR_NOMEM;
    if (fv_file_exists(path)) return read_names(ds, path);
    return strcmp(ds->split, "train") == 0 ? find_names(ds, ds, order)
                                           : names_of_training(ds, order);
}

static fv_status open_tar(fv_dataset *ds, const char *split, const fv_dataset_options *options) {
    const char *const words[] = {split, "validation", "val", "test"};
    const bool train = strcmp(ds->split, "train") == 0;
    fv_tar_place p;

    FV_TRY(fv_tar_find(ds->root, train ? train_words : words, train ? 1 : 4, &ds->arena, &p));
    if (!p.folder)
        return FV_FAIL(FV_ERR_NOT_FOUND, "%s: no archives of the %s split; expected %s", ds->root,
                       ds->split, fv_dataset_format_tar.expects);
    FV_TRY(fv_tar_read(ds, &p));
    if (ds->n_samples == 0) return FV_OK; /* the caller tells */
    FV_TRY(set_names(ds, options->class_order));
    return set_labels(ds);
}

const fv_dataset_format fv_dataset_format_tar = {
    .name = "tar",
    .expects =
        "train/*.tar and validation/*.tar (or val/), or archives named so in the folder, with "
        "class folders or .cls files inside",
    .detect = detect,
    .open = open_tar};
