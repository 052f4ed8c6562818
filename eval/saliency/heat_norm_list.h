/* heat_norm_list.h - the ways to choose the range of a map.  A new one is its descriptor in heat_range.c
 * and one name here. */
#ifndef FV_EVAL_SALIENCY_HEAT_NORM_LIST_H
#define FV_EVAL_SALIENCY_HEAT_NORM_LIST_H

#define FV_HEAT_NORM_LIST(X) X(max) X(percentile) X(mass) X(minmax) X(positive)

#endif
