#include "eval/saliency/perturbation.h"

#include "core/alloc.h"

#include <inttypes.h>
#include <string.h>

int64_t fv_curve_steps(const fv_curve *curve) {
    return (curve->n_pixels + curve->step - 1) / curve->step;
}

static void make_state(void *user, int64_t state, float *image) {
    const fv_curve *curve = user;
    const int64_t upto = state * curve->step;
    const int64_t turned = upto < curve->n_pixels ? upto : curve->n_pixels;

    memcpy(image, curve->from, 3 * (size_t)curve->n_pixels * sizeof *image);
    for (int64_t i = 0; i < turned; i++)
        memcpy(image + 3 * curve->order[i], curve->to + 3 * curve->order[i], 3 * sizeof *image);
}

fv_status fv_curve_run(const fv_curve *curve, const fv_scorer *scorer, float *probability) {
    if (curve->step < 1) return FV_FAIL(FV_ERR_CONFIG, "steps of %" PRId64 " pixels", curve->step);

    fv_curve series = *curve;
    const int64_t states = fv_curve_steps(curve) + 1;
    fv_class_score *score = fv_alloc((size_t)states, sizeof *score);
    if (!score) return FV_ERR_NOMEM;
    const fv_status status =
        fv_score_series(scorer, states, 3 * curve->n_pixels, make_state, &series, score);
    for (int64_t i = 0; i < states && status == FV_OK; i++) probability[i] = score[i].probability;
    fv_free(score);
    return status;
}

double fv_curve_auc(const float *probability, int64_t steps) {
    double sum = -0.5 * ((double)probability[0] + (double)probability[steps]);

    for (int64_t i = 0; i <= steps; i++) sum += (double)probability[i];
    return sum / (double)steps;
}

double fv_curve_mean(const float *probability, int64_t steps) {
    double sum = 0.0;

    for (int64_t i = 1; i <= steps; i++) sum += (double)probability[i];
    return sum / (double)steps;
}
