/* metric_ledger.c - where the explained score went: what each kind of constant took of it, as a fraction of
 * its magnitude, and how well the account closes (explain.h).  Methods without relevance have none. */
#include "eval/saliency/explain.h"
#include "eval/saliency/metric.h"

#include <math.h>

enum { ERROR, PIXELS, SINKS };
static const fv_metric_value values[] = {
    [ERROR] = {"conservation_error", "what the account does not explain", false},
    [PIXELS] = {"share_pixels", "sum of the pixels' relevance / |score|", true},
#define FV_X(name, text) {"absorbed_" text, text " / |score|", false},
    FV_SINK_LIST(FV_X)
#undef FV_X
        {0}};
_Static_assert(sizeof values / sizeof *values <= FV_METRIC_MAX_VALUES + 1, "values");

static fv_status run(const fv_metric_context *c, double *out) {
    const fv_account *a = c->account;

    out[ERROR] = fv_conservation_error(a);
    out[PIXELS] = a->input / fabs(a->start);
    for (int s = 0; s < FV_SINK_COUNT; s++) out[SINKS + s] = a->sink[s] / fabs(a->start);
    return FV_OK;
}

const fv_metric fv_metric_ledger = {.name = "ledger",
                                    .summary = "where the score of relevance methods went",
                                    .needs = FV_METRIC_ACCOUNT,
                                    .on_request = true,
                                    .values = values,
                                    .run = run};
