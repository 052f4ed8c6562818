/* dataset_settings.h - a data set as the options of a command describe it: the one way from options
 * to a split. */
#ifndef FV_DATA_DATASET_SETTINGS_H
#define FV_DATA_DATASET_SETTINGS_H

#include "core/settings.h"
#include "data/dataset.h"

typedef enum fv_split_use {
    FV_SPLIT_WHOLE,  /* --subset is not about it */
    FV_SPLIT_CHOSEN, /* of what --subset leaves, drawn with --seed */
} fv_split_use;

/* Opens a split of root with --class-order and --class-map.  As fv_dataset_open. */
fv_status fv_dataset_open_settings(const fv_settings *settings, const char *root, const char *split,
                                   fv_split_use use, fv_dataset **out);

#endif
