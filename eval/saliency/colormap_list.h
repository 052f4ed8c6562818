/* colormap_list.h - the colour maps.  A new one is its descriptor in colormap.c (a table of anchors) and
 * one name here. */
#ifndef FV_EVAL_SALIENCY_COLORMAP_LIST_H
#define FV_EVAL_SALIENCY_COLORMAP_LIST_H

#define FV_COLORMAP_LIST(X) X(bwr) X(seismic) X(coldnhot) X(viridis) X(turbo) X(jet) X(hot) X(gray)

#endif
