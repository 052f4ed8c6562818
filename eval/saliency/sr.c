/* sr.c - Salient Relevance (sr_map.h): context-aware saliency of the LRP map of attnlrp, or, in the variant
 * code, of the rules and the picture of the published program. */
#include "eval/saliency/lrp.h"
#include "eval/saliency/sr_map.h"

#include <string.h>

enum { PATCH, NEIGHBOURS, POSITION, TAU, SIDE, STRIDE, PER_SCALE };
static const fv_saliency_param params[] = {
    [PATCH] = {"patch", 7, 3, 31, true, "side of a patch in pixels, odd"},
    [NEIGHBOURS] = {"neighbours", 64, 1, 4096, true, "most similar patches that count"},
    [POSITION] = {"position", 3, 1e-6, 1e3, false, "weight of the distance between patches"},
    [TAU] = {"tau", 0.8, 0.01, 0.99, false, "foci: above this share of the maximum"},
    [SIDE] = {"side", 250, 7, 4096, true, "longest side that is worked on, pixels"},
    [STRIDE] = {"stride", 1, 1, 8, true, "1 exact; larger: approximate and faster"},
    [PER_SCALE] = {"foci_per_scale", 0, 0, 1, true, "1: foci of each scale, not of their mean"},
    {0}};

static const char *const variants[] = {"abs", "pos", "code", NULL};

static fv_sr_options options_of(const fv_saliency_choice *choice, fv_sr_feature_kind feature) {
    const double *p = choice->param;
    return (fv_sr_options){.feature = feature,
                           .patch = (int64_t)p[PATCH],
                           .k = (int64_t)p[NEIGHBOURS],
                           .c = p[POSITION],
                           .tau = p[TAU],
                           .work_side = (int64_t)p[SIDE],
                           .stride = (int64_t)p[STRIDE],
                           .foci_per_scale = p[PER_SCALE] > 0.0};
}

static const fv_composite *composite_of(const fv_saliency_choice *choice) {
    return fv_composite_find(strcmp(choice->variant, "code") == 0 ? "sr_paper_code" : "attnlrp");
}

static fv_status run(fv_explain_run *r) {
    const fv_composite *composite = composite_of(r->choice);
    const int64_t n = 3 * r->H * r->W;
    fv_sr_feature_kind feature;

    FV_TRY(fv_sr_feature_parse(r->choice->variant, &feature));
    const fv_sr_options options = options_of(r->choice, feature);
    const fv_composite_options rules = fv_composite_defaults(composite);
    float *relevance = fv_arena_alloc(r->arena, (size_t)(r->B * n), sizeof *relevance);
    if (!relevance) return FV_ERR_NOMEM;
    FV_TRY(fv_lrp(r, composite, &rules, relevance));
    for (int64_t b = 0; b < r->B; b++) {
        fv_explanation *e = &r->out[b];
        fv_sr_result result;
        FV_TRY(fv_sr_map(relevance + b * n, r->H, r->W, &options, &result, e->map));
        e->approximate = result.approximate;
        fv_sr_result_release(&result);
    }
    return FV_OK;
}

static void describe(const fv_saliency_choice *choice, fv_arena *arena, fv_value *map) {
    fv_value_set(arena, map, "composite", fv_value_string(arena, composite_of(choice)->name));
}

const fv_saliency_method fv_saliency_sr = {
    .name = "sr",
    .summary = "salient relevance: where the LRP map is unlike its surroundings",
    .source = "Li et al. 2019, Beyond Saliency; Goferman et al. 2012",
    .variants = variants,
    .params = params,
    .kind = FV_SALIENCY_MAP,
    .run = run,
    .describe = describe};
