/* dataset_list.h - the layouts, the most specific first: a file dataset_<name>.c each, one line
 * here. Below, what they share. */
#ifndef FV_DATA_DATASET_LIST_H
#define FV_DATA_DATASET_LIST_H

#include "core/file.h"
#include "data/dataset.h"

#define FV_DATASET_LIST(X) X(tiny_imagenet) X(cifar) X(tar) X(folder)

typedef struct fv_dataset_format {
    const char *name;
    const char *expects; /* for messages: what the root folder holds */
    fv_status (*detect)(const char *root, bool *found);
    /* Fills class names and samples.  split is as the caller of fv_dataset_open wrote it, already
     * known to be valid; dataset->split is its canonical form. */
    fv_status (*open)(fv_dataset *dataset, const char *split, const fv_dataset_options *options);
} fv_dataset_format;

#define FV_X(name) extern const fv_dataset_format fv_dataset_format_##name;
FV_DATASET_LIST(FV_X)
#undef FV_X

/* "a/b" in the data set's arena; NULL when memory runs out. */
const char *fv_dataset_path(fv_dataset *dataset, const char *a, const char *b);

/* The folders in a folder, hidden ones aside, as class names (dataset->class_names), sorted. */
fv_status fv_dataset_read_classes(fv_dataset *dataset, const char *folder, fv_class_order order);
void fv_dataset_sort_classes(fv_dataset *dataset, fv_class_order order);

/* Appends a copy of a sample, whose texts are in the arena. */
fv_status fv_dataset_append(fv_dataset *dataset, const fv_sample *sample);

/* Appends base/name, whose size is asked from the file system.  FV_ERR_NOT_FOUND names the path. */
fv_status fv_dataset_add(fv_dataset *dataset, const char *base, const char *name, int32_t label);

/* Appends the images below base/name, by suffix (fv_image_has_suffix),
 * folders in folders included, in byte order. */
fv_status fv_dataset_add_folder(fv_dataset *dataset, const char *base, const char *name,
                                int32_t label);

/* Looks samples begin .. n_samples - 1 up by name. */
typedef struct fv_dataset_index {
    int64_t *order; /* caller frees with fv_free */
    int64_t count;
} fv_dataset_index;
fv_status fv_dataset_index_make(const fv_dataset *dataset, int64_t begin, fv_dataset_index *out);
int64_t fv_dataset_index_find(const fv_dataset *dataset, const fv_dataset_index *index,
                              const char *name); /* -1: none */

/* Gives a sample one more box. */
fv_status fv_dataset_add_box(fv_dataset *dataset, int64_t sample, fv_box box);

/* Reads an index file as 0-terminated text; the caller frees it with fv_free.  A 0 byte inside (a torn
 * copy) is FV_ERR_FORMAT: what follows it would be lost without a word. */
fv_status fv_dataset_read_text(const char *path, char **text);

/* The next line of a 0-terminated text that is cut up in place (line ends go); NULL at the end. */
char *fv_dataset_next_line(char **text);

/* Cuts a line at a separator into at most max fields, in place; returns their number. */
int fv_dataset_fields(char *line, char separator, char *field[], int max);

/* A finite number that fills the whole field. */
bool fv_dataset_number(const char *field, float *out);

#endif
