/* class_names.h - do a checkpoint and a data set mean the same classes?  And the names of a data set as they
 * travel in the metadata of files. */
#ifndef FV_EVAL_CLASS_NAMES_H
#define FV_EVAL_CLASS_NAMES_H

#include "data/dataset.h"

/* names [n]: the classes that travel with the weights, NULL when nothing is known of them, and then
 * only their number counts.  FV_ERR_FORMAT names the first difference.  checkpoint is its path, for
 * the message. */
fv_status fv_class_names_check(const char *checkpoint, const char *const *names, int64_t n,
                               const fv_dataset *dataset);

/* JSON lists in arena: the class names, and the names of samples index[0..n-1].  FV_ERR_NOMEM. */
fv_status fv_class_names_json(const fv_dataset *dataset, fv_arena *arena, char **text);
fv_status fv_sample_names_json(const fv_dataset *dataset, const int64_t *index, int64_t n,
                               fv_arena *arena, char **text);

#endif
