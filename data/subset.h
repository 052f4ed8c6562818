/* subset.h - a part of a data set's samples.
 *
 *     "20"      20 samples of every class, all of a smaller one
 *     "0.1"     that share of every class, at least one sample
 *     "FILE"    the samples named in a text file, one per line: names as in the data set
 *               ("class/image.jpg"), or without folders where no other sample is called so
 *
 * Which samples of a class are drawn depends on the seed, the class's name and its samples alone; the
 * samples of a larger number or share include those of a smaller one. */
#ifndef FV_DATA_SUBSET_H
#define FV_DATA_SUBSET_H

#include "data/dataset.h"

/* Leaves out the other samples; those that stay keep their order and labels.
 * Errors: FV_ERR_CONFIG (no number above 0, a share above 1), for files FV_ERR_NOT_FOUND, FV_ERR_IO
 * and FV_ERR_FORMAT with the line, FV_ERR_NOMEM. */
fv_status fv_subset_apply(fv_dataset *dataset, const char *subset, uint64_t seed);

/* A number, and so no file. */
bool fv_subset_is_number(const char *subset);

#endif
