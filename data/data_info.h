/* data_info.h - what a data set holds, for `fovea data info` and `fovea data verify`. */
#ifndef FV_DATA_DATA_INFO_H
#define FV_DATA_DATA_INFO_H

#include "data/dataset.h"

#include <stdbool.h>

typedef struct fv_side_stats {
    int64_t min, median, max; /* pixels; the lower median */
} fv_side_stats;

typedef struct fv_data_info {
    int64_t *class_counts; /* [n_classes] */
    int64_t n_classes, n_samples, n_bytes;
    int64_t n_with_boxes, n_with_masks, n_with_markers;
    int64_t n_probed; /* files whose header was read */
    int64_t n_jpeg, n_png;
    int64_t n_bad;     /* probed files that are no readable image */
    int64_t first_bad; /* sample index, -1 */
    char bad[512];     /* message of the first bad one, with its path */
    fv_side_stats height, width;
} fv_data_info;

typedef struct fv_data_info_options {
    int64_t max_files; /* headers to read, spread evenly over the set; 0 = all */
    bool decode;       /* decode each of them fully: finds damage behind the header */
    /* Told the message of every bad one, in order; NULL is fine. */
    void (*on_bad)(void *user, const char *message);
    void *user;
} fv_data_info_options;

/* options may be NULL.  Bad files are counted, not errors.  The caller frees with
 * fv_data_info_free; zeroed on error.  Errors: FV_ERR_NOMEM. */
fv_status fv_data_info_compute(const fv_dataset *dataset, const fv_data_info_options *options,
                               fv_data_info *out);
void fv_data_info_free(fv_data_info *info);

#endif
