/* explanation_look.h - how maps are shown: one look for maps with sign, one for maps without.
 *
 *                   colours   range           overlay
 *     with sign     bwr       percentile:99   0.8 |v| on the grey picture, fading where little is
 *     without       viridis   minmax          0.5 on the coloured picture
 *
 * Colours and ranges can be chosen from colormap_list.h and heat_norm_list.h.  A colour map with a neutral
 * middle and a range around zero are for maps with sign, the others for maps without: a choice goes to
 * the maps that it fits. */
#ifndef FV_EVAL_SALIENCY_EXPLANATION_LOOK_H
#define FV_EVAL_SALIENCY_EXPLANATION_LOOK_H

#include "eval/saliency/heatmap.h"
#include "eval/saliency/method.h"

typedef struct fv_explanation_look {
    const fv_colormap *colormap;
    const fv_heat_norm *norm;
    double parameter; /* of norm */
    fv_heat_blend blend;
} fv_explanation_look;

typedef struct fv_explanation_looks {
    fv_explanation_look without_sign, with_sign;
    bool
        shared_scale; /* on a sheet: one range for the maps of an image that are of one sign kind */
} fv_explanation_looks;

extern const fv_explanation_looks fv_explanation_looks_usual;

/* The usual looks, with what is asked for: a name each, or two with a comma between, one of either kind;
 * "" asks for nothing.  FV_ERR_CONFIG: an unknown name or parameter, two of a kind, or one for a kind of
 * map that none of the methods gives; starts with the option's name. */
fv_status fv_explanation_looks_parse(const char *colormap, const char *normalise,
                                     const fv_saliency_choice *methods, int n_methods,
                                     fv_explanation_looks *out);

/* The look of a method's maps; NULL looks are the usual ones. */
const fv_explanation_look *fv_explanation_look_of(const fv_explanation_looks *looks,
                                                  const fv_saliency_choice *choice);

/* The look with the range of map [n].  Errors: those of fv_heat_range_of. */
fv_status fv_explanation_look_style(const fv_explanation_look *look, const float *map, int64_t n,
                                    fv_heat_style *out);

/* Adds colormap, normalise ("percentile:99"), overlay_alpha, overlay_fade to a map in arena. */
void fv_explanation_look_describe(const fv_explanation_look *look, fv_arena *arena, fv_value *map);

#endif
