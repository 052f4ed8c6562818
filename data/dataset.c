#include "data/dataset.h"

#include "core/alloc.h"
#include "data/class_map.h"
#include "data/dataset_list.h"
#include "data/hash.h"
#include "data/subset.h"

#include <string.h>

#define FV_X(name) &fv_dataset_format_##name,
static const fv_dataset_format *const formats[] = {FV_DATASET_LIST(FV_X)};
#undef FV_X

void fv_dataset_destroy(fv_dataset *dataset) {
    if (!dataset) return;
    fv_free(dataset->samples);
    fv_free((void *)dataset->class_names);
    fv_arena_destroy(&dataset->arena);
    fv_free(dataset);
}

int32_t fv_dataset_label(const fv_dataset *dataset, const char *class_name) {
    for (int64_t i = 0; i < dataset->n_classes; i++)
        if (strcmp(dataset->class_names[i], class_name) == 0) return (int32_t)i;
    return -1;
}

static fv_status canonical_split(const char *split, const char **out) {
    static const char *const validation[] = {"validation", "val", "test"};

    *out = "train";
    if (strcmp(split, "train") == 0) return FV_OK;
    *out = "validation";
    for (size_t i = 0; i < 3; i++)
        if (strcmp(split, validation[i]) == 0) return FV_OK;
    return FV_FAIL(FV_ERR_CONFIG, "split '%s': expected train, validation, val or test", split);
}

static fv_status find_format(const char *root, const fv_dataset_format **out) {
    if (!fv_folder_exists(root))
        return FV_FAIL(FV_ERR_NOT_FOUND, "%s: no such folder; expected %s", root,
                       fv_dataset_format_folder.expects);
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        bool found = false;
        FV_TRY(formats[i]->detect(root, &found));
        if (found) {
            *out = formats[i];
            return FV_OK;
        }
    }
    return FV_FAIL(FV_ERR_FORMAT, "%s: no class folders; expected %s", root,
                   fv_dataset_format_folder.expects);
}

static fv_status count_classes(fv_dataset *ds) {
    int64_t *count = fv_calloc((size_t)ds->n_classes, sizeof *count);

    if (!count) return FV_ERR_NOMEM;
    for (int64_t i = 0; i < ds->n_samples; i++) count[ds->samples[i].label]++;
    for (int64_t c = 0; c < ds->n_classes; c++) {
        if (count[c] > 0) continue;
        if (ds->n_empty_classes++ == 0) ds->first_empty_class = ds->class_names[c];
    }
    fv_free(count);
    return FV_OK;
}

static fv_status compute_hash(fv_dataset *ds) {
    fv_hash *hash = NULL;

    FV_TRY(fv_hash_create(&hash));
    fv_hash_u64(hash, (uint64_t)ds->n_classes);
    for (int64_t c = 0; c < ds->n_classes; c++)
        fv_hash_update(hash, ds->class_names[c], strlen(ds->class_names[c]) + 1);
    for (int64_t i = 0; i < ds->n_samples; i++) {
        const fv_sample *sample = &ds->samples[i];
        fv_hash_update(hash, sample->name, strlen(sample->name) + 1);
        fv_hash_u64(hash, (uint64_t)sample->n_bytes);
        fv_hash_u64(hash, (uint64_t)sample->label);
    }
    ds->hash = fv_hash_value(hash);
    fv_hash_destroy(hash);
    return FV_OK;
}

static fv_status select_samples(fv_dataset *ds, const fv_dataset_options *options) {
    if (options->subset) FV_TRY(fv_subset_apply(ds, options->subset, options->seed));
    if (!options->class_map) return FV_OK;
    FV_TRY(fv_class_map_apply(ds, options->class_map));
    if (ds->n_samples > 0) return FV_OK;
    return FV_FAIL(FV_ERR_FORMAT, "%s: no image of the %s split of %s is of one of its classes",
                   options->class_map, ds->split, ds->root);
}

/* A root without the slashes at its end, so that messages and paths look the same either way. */
static const char *copy_root(fv_arena *arena, const char *root) {
    char *copy = fv_arena_strdup(arena, root);
    size_t n = copy ? strlen(copy) : 0;
    while (n > 1 && copy[n - 1] == '/') copy[--n] = 0;
    return copy;
}

fv_status fv_dataset_open(const char *root, const char *split, const fv_dataset_options *options,
                          fv_dataset **out) {
    static const fv_dataset_options defaults = {0};
    const fv_dataset_format *format = NULL;
    const char *canonical = NULL;
    fv_dataset *ds = NULL;
    fv_status status = FV_OK;

    *out = NULL;
    FV_TRY(canonical_split(split, &canonical));
    ds = fv_calloc(1, sizeof *ds);
    if (!ds) return FV_ERR_NOMEM;
    ds->split = canonical;
    ds->root = copy_root(&ds->arena, root);
    if (!ds->root) {
        status = FV_ERR_NOMEM;
        goto cleanup;
    }
    status = find_format(ds->root, &format);
    if (status != FV_OK) goto cleanup;
    ds->layout = format->name;
    status = format->open(ds, split, options ? options : &defaults);
    if (status != FV_OK) goto cleanup;
    if (ds->n_samples == 0) {
        status = FV_FAIL(FV_ERR_FORMAT, "%s: no images in the %s split; expected %s", ds->root,
                         ds->split, format->expects);
        goto cleanup;
    }
    if (options) status = select_samples(ds, options);
    if (status == FV_OK) status = count_classes(ds);
    if (status == FV_OK) status = compute_hash(ds);
    if (status != FV_OK) goto cleanup;
    *out = ds;
    ds = NULL;
cleanup:
    fv_dataset_destroy(ds);
    return status;
}

int64_t fv_dataset_first(const fv_dataset *ds, int64_t limit, int64_t *index) {
    int64_t *taken = fv_calloc((size_t)ds->n_classes + 1, sizeof *taken), n = 0;

    if (!taken) return -1;
    for (int64_t i = 0; i < ds->n_samples; i++) {
        if (limit > 0 && taken[ds->samples[i].label] == limit) continue;
        taken[ds->samples[i].label]++;
        index[n++] = i;
    }
    fv_free(taken);
    return n;
}
