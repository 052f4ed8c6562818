/* dataset.h - a list of labelled image files, whatever the layout on disk.
 *
 * Layouts are told apart by what is in the root folder (dataset_list.h).  Samples come in a fixed
 * order: class by class, names in byte order; those of files that hold many as they stand there.  A subset is taken of all samples, the class map
 * applied to what is left. */
#ifndef FV_DATA_DATASET_H
#define FV_DATA_DATASET_H

#include "core/arena.h"
#include "core/status.h"

#include <stdbool.h>
#include <stdint.h>

/* In pixels of the image file; the right and bottom edges lie outside. */
typedef struct fv_box {
    float left, top, right, bottom;
} fv_box;

/* Bytes that are the red, green and blue plane of a picture, without a header. */
typedef struct fv_planes {
    int64_t height, width;
} fv_planes;

typedef struct fv_sample {
    const char *path; /* the file, as opened */
    const char
        *name; /* unique in the split; of a file of its own the path below the split's folder */
    int64_t offset; /* of its n_bytes in a file that holds many; 0: the file is the sample's own */
    const fv_planes *planes; /* NULL: an encoded picture */
    const char *mask;   /* path of a PNG whose nonzero pixels are the object; NULL without one */
    const char *marker; /* likewise of a planted marker, and */
    const char *clean;  /* the image without it; NULL without one */
    const fv_box *boxes;
    int64_t n_boxes;
    int64_t n_bytes;
    int32_t label;
} fv_sample;

typedef enum fv_class_order {
    FV_CLASS_ORDER_BYTE,    /* strcmp of folder names */
    FV_CLASS_ORDER_NATURAL, /* numbers by value, letters without case: class2 before class10 */
} fv_class_order;

typedef struct fv_dataset_options {
    fv_class_order class_order;
    const char *class_map; /* file of class_map.h; NULL: all classes */
    const char *subset;    /* of subset.h; NULL: all samples */
    uint64_t seed;         /* of the subset */
} fv_dataset_options;

/* Everything belongs to the data set and lives until fv_dataset_destroy; nothing changes after
 * fv_dataset_open, so threads may share it. */
typedef struct fv_dataset {
    const char *root, *layout; /* layout: "tiny_imagenet", "cifar10", "folder" ... */
    const char *split;         /* "train" or "validation" */
    fv_sample *samples;
    int64_t n_samples, capacity;
    const char **class_names;
    int64_t n_classes;
    int64_t n_empty_classes; /* without a sample in this split: kept, so that labels agree */
    const char *first_empty_class;
    /* XXH3 of class names and of every sample's name, size and label: tells whether two folders
     * hold the same set.  Paths, times and file content do not enter. */
    uint64_t hash;
    fv_arena arena;
} fv_dataset;

/* split: "train", or "validation" (also "val", "test": which of the folders validation, val, test
 * is looked for first).  options may be NULL.  The caller frees *out with fv_dataset_destroy; NULL
 * on error.  Errors name the path and what was expected: FV_ERR_CONFIG (split), FV_ERR_NOT_FOUND
 * (also a split without a folder), FV_ERR_IO, FV_ERR_FORMAT (layout, empty set), FV_ERR_NOMEM; and
 * those of class_map.h and subset.h. */
fv_status fv_dataset_open(const char *root, const char *split, const fv_dataset_options *options,
                          fv_dataset **out);
void fv_dataset_destroy(fv_dataset *dataset); /* NULL is fine */

/* The first `limit` samples of each class (0: all), in the order of the data set: their indices into
 * index, which has room for n_samples.  Returns how many; -1 when memory runs out. */
int64_t fv_dataset_first(const fv_dataset *dataset, int64_t limit, int64_t *index);

/* Label of a class name, -1 if there is none. */
int32_t fv_dataset_label(const fv_dataset *dataset, const char *class_name);

#endif
