/* tar_shards.h - the archives of a split, and the samples in them (dataset_tar.c says what they look
 * like). */
#ifndef FV_DATA_TAR_SHARDS_H
#define FV_DATA_TAR_SHARDS_H

#include "data/dataset_list.h"

/* The label of a sample without a .cls. */
#define FV_TAR_UNKNOWN (-1)

/* Where the archives of a split lie. */
typedef struct fv_tar_place {
    const char *folder; /* NULL: nowhere */
    const char *word;   /* in their names; NULL: every archive of the folder */
} fv_tar_place;

/* The first of the words that a folder with archives is called, or that archives in the root have in
 * their names. */
fv_status fv_tar_find(const char *root, const char *const words[], int n_words, fv_arena *arena,
                      fv_tar_place *out);

/* Appends the images of all archives of a place, named ARCHIVE/MEMBER, with the labels of their .cls
 * files.  Errors: those of fv_tar_each; FV_ERR_FORMAT: a .cls that is no number or there twice, or is
 * missing where others are. */
fv_status fv_tar_read(fv_dataset *dataset, const fv_tar_place *place);

#endif
