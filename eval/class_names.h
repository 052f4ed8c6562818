/* class_names.h - do a checkpoint and a data set mean the same classes? */
#ifndef FV_EVAL_CLASS_NAMES_H
#define FV_EVAL_CLASS_NAMES_H

#include "data/dataset.h"

/* names [n]: the classes that travel with the weights, NULL when nothing is known of them, and then
 * only their number counts.  FV_ERR_FORMAT names the first difference.  checkpoint is its path, for
 * the message. */
fv_status fv_class_names_check(const char *checkpoint, const char *const *names, int64_t n,
                               const fv_dataset *dataset);

#endif
