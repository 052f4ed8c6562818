/* metric_shortcut.c - does the map show a marker that was planted into the images of one class?  With the
 * clean image beside the marked one it is known how much the model's score rests on the marker; a
 * method that is right puts relevance there when, and only when, that is much. */
#include "eval/saliency/metric.h"

#include <math.h>

enum { SHARE, POSITIVE, DENSITY, DROP };
static const fv_metric_value values[] = {
    [SHARE] = {"shortcut_share", "share of |relevance| on the marker", true},
    [POSITIVE] = {"shortcut_positive", "share of the positive relevance on the marker", true},
    [DENSITY] = {"shortcut_density", "share of |relevance| over share of the pixels", true},
    [DROP] = {"shortcut_drop", "logit with the marker minus logit without it", true},
    {0}};

static fv_status run(const fv_metric_context *c, double *out) {
    const int64_t n = c->height * c->width;
    double all = 0.0, on = 0.0, positive = 0.0, positive_on = 0.0, pixels = 0.0;
    fv_class_score with, without;

    FV_TRY(fv_map_check(c->map, n));
    for (int64_t i = 0; i < n; i++) {
        const double r = (double)c->map[i];
        all += fabs(r);
        positive += fmax(r, 0.0);
        if (!c->marker[i]) continue;
        pixels += 1.0;
        on += fabs(r);
        positive_on += fmax(r, 0.0);
    }
    FV_TRY(fv_score_image(&c->scorer, c->pixels, &with));
    FV_TRY(fv_score_image(&c->scorer, c->clean, &without));
    out[SHARE] = all > 0.0 ? on / all : (double)NAN;
    out[POSITIVE] = positive > 0.0 ? positive_on / positive : (double)NAN;
    out[DENSITY] = pixels > 0.0 ? out[SHARE] * (double)n / pixels : (double)NAN;
    out[DROP] = (double)with.logit - (double)without.logit;
    return FV_OK;
}

const fv_metric fv_metric_shortcut = {.name = "shortcut",
                                      .summary = "relevance on a planted marker",
                                      .needs = FV_METRIC_SCORER | FV_METRIC_MARKER,
                                      .values = values,
                                      .run = run};
