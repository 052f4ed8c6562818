/* colormap.h - colour maps as tables of 256 colours.
 *
 * A colour map is a list of anchors: entry i is the colour at i/255 on the straight line between the two
 * anchors around it, in bytes, rounded half up.  viridis and turbo are ten-anchor approximations of the
 * maps of those names (van der Walt, Smith 2015; Mikhailov 2019). */
#ifndef FV_EVAL_SALIENCY_COLORMAP_H
#define FV_EVAL_SALIENCY_COLORMAP_H

#include "core/status.h"
#include "eval/saliency/colormap_list.h"

#include <stdbool.h>
#include <stdint.h>

#define FV_COLORMAP_ENTRIES 256

typedef struct fv_colormap_anchor {
    double at;     /* 0..1, ascending from 0 to 1 */
    double rgb[3]; /* 0..255 */
} fv_colormap_anchor;

typedef struct fv_colormap {
    const char *name;
    const char *summary;
    bool diverging; /* a neutral colour in the middle: for signed maps */
    const fv_colormap_anchor *anchors;
    int n_anchors; /* >= 2 */
    /* Instead of anchors: channel 0..2 of the colour at v, 0..1. */
    double (*formula)(double v, int channel);
} fv_colormap;

#define FV_X(name) extern const fv_colormap fv_colormap_##name;
FV_COLORMAP_LIST(FV_X)
#undef FV_X

typedef struct fv_colormap_table {
    uint8_t rgb[FV_COLORMAP_ENTRIES][3];
} fv_colormap_table;

/* FV_ERR_CONFIG lists what there is, with "did you mean". */
fv_status fv_colormap_find(const char *name, const fv_colormap **out);
const fv_colormap *fv_colormap_at(int i); /* in list order, NULL after the last */

void fv_colormap_fill(const fv_colormap *colormap, fv_colormap_table *out);

/* floor(255 v + 1/2) for v in 0..1; values outside take the colour at the end. */
int fv_colormap_index(double v);

#endif
