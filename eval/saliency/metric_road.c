/* metric_road.c - remove and debias (Rong et al. 2022): for percentiles 10..90 the pixels above are
 * removed and imputed from what is left; road = mean over percentiles of (LeRF - MoRF) / 2, LeRF being
 * the probability when the least relevant pixels go first, MoRF the most relevant.  A little noise on
 * imputed pixels hides that they are too smooth. */
#include "core/alloc.h"
#include "core/parallel.h"
#include "eval/saliency/imputation.h"
#include "eval/saliency/metric.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define PERCENTILES 9
#define STATES      (2 * PERCENTILES)

static const fv_metric_value values[] = {
    {"road", "(least - most relevant first) / 2", true},
    {"road_morf", "mean probability, most relevant removed first", false},
    {"road_lerf", "mean probability, least relevant removed first", true},
    {0}};

static const fv_metric_option options[] = {
    {"road_noise", 0.01, "standard deviation on imputed pixels"}, {0}};

typedef struct road {
    const fv_metric_context *c;
    uint8_t *keep; /* [STATES,H,W]: MoRF of all percentiles, then LeRF */
    double noise;
    bool converged[STATES];
} road;

static void make_state(void *user, int64_t state, float *image) {
    road *r = user;
    const fv_metric_context *c = r->c;
    const int64_t n = c->height * c->width;
    const uint8_t *keep = r->keep + state * n;
    const fv_rng_key key = fv_metric_key(c, "road", (uint32_t)state);

    memcpy(image, c->pixels, 3 * (size_t)n * sizeof *image);
    r->converged[state] = fv_impute_with(image, keep, c->height, c->width,
                                         fv_scratch(fv_impute_scratch(c->height, c->width)));
    if (r->noise == 0.0) return;
    for (int64_t i = 0; i < 3 * n; i++)
        if (!keep[i / 3]) image[i] += (float)(r->noise * (double)fv_rng_normal(&key, (uint64_t)i));
}

static fv_status check_converged(const road *r) {
    for (int i = 0; i < STATES; i++)
        if (!r->converged[i]) return FV_FAIL(FV_ERR_INTERNAL, "imputation %d did not converge", i);
    return FV_OK;
}

static fv_status run(const fv_metric_context *c, double *out) {
    const int64_t n = c->height * c->width;
    fv_class_score score[STATES];
    road r = {.c = c, .noise = fv_metric_get(c, &options[0])};

    if (!(r.noise >= 0.0 && isfinite(r.noise)))
        return FV_FAIL(FV_ERR_CONFIG, "road_noise is %g", r.noise);
    FV_TRY(fv_scratch_reserve(fv_impute_scratch(c->height, c->width)));
    r.keep = fv_alloc(STATES * (size_t)n, sizeof *r.keep);
    if (!r.keep) return FV_ERR_NOMEM;
    fv_status status = FV_OK;
    for (int i = 0; i < STATES && status == FV_OK; i++)
        status =
            fv_road_keep(c->map, n, 10.0 * (i % PERCENTILES + 1), i >= PERCENTILES, r.keep + i * n);
    if (status == FV_OK) status = fv_score_series(&c->scorer, STATES, 3 * n, make_state, &r, score);
    if (status == FV_OK) status = check_converged(&r);
    if (status == FV_OK) {
        double morf = 0.0, lerf = 0.0;
        for (int i = 0; i < PERCENTILES; i++) {
            morf += (double)score[i].probability / PERCENTILES;
            lerf += (double)score[PERCENTILES + i].probability / PERCENTILES;
        }
        out[0] = (lerf - morf) / 2.0;
        out[1] = morf;
        out[2] = lerf;
    }
    fv_free(r.keep);
    return status;
}

const fv_metric fv_metric_road = {.name = "road",
                                  .summary =
                                      "probability while pixels are imputed away, both orders",
                                  .needs = FV_METRIC_SCORER,
                                  .values = values,
                                  .options = options,
                                  .run = run};
