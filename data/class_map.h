/* class_map.h - which classes of a data set count, and in which order: a subset of ImageNet, or the
 * labels that a model was trained with.
 *
 * A text file, as timm's --class-map: one class name per line, the first is label 0; or on every
 * line a name and its label, in any order, each of 0 .. n-1 once.  Blank lines and blanks around a
 * line do not count.  Samples of classes that are not named are left out; a named class without
 * samples keeps its label. */
#ifndef FV_DATA_CLASS_MAP_H
#define FV_DATA_CLASS_MAP_H

#include "data/dataset.h"

/* Replaces the classes of a data set whose samples are all there.  Samples that stood class by class
 * still do.  Errors name the file and the line: FV_ERR_NOT_FOUND, FV_ERR_IO, FV_ERR_FORMAT (no
 * class, one twice, labels with gaps, none of its names in the data set), FV_ERR_NOMEM; the data set
 * is then only good to be destroyed. */
fv_status fv_class_map_apply(fv_dataset *dataset, const char *path);

#endif
