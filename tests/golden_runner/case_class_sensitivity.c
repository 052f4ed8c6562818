#include "tests/golden_runner/case_class_sensitivity.h"

#include "eval/saliency/map_similarity.h"
#include "tests/golden_runner/saliency_case.h"

#define TOLERANCE 1e-5

/* The grids of both classes: maps at the layer's own size. */
static fv_status compare(const fv_explanation most[], const fv_explanation least[], int64_t N,
                         float *got) {
    for (int64_t b = 0; b < N; b++) {
        double correlation;
        bool constant;
        FV_TRY(fv_class_sensitivity(most[b].grid, least[b].grid, most[b].grid_h * most[b].grid_w,
                                    &correlation, &constant));
        got[b] = (float)correlation; /* 0 for a constant map */
    }
    return FV_OK;
}

/* class_sensitivity.<kind>.<node> of a method. */
static void check(const saliency_model *m, const char *kind, const char *node, const char *method,
                  const char *tap) {
    golden *g = m->g;
    const char *name = golden_text(g, "class_sensitivity.%s.%s", kind, node);
    const char *text = golden_text(g, "%s:layer=%s", method, tap);
    fv_explanation most[SALIENCY_MAX_IMAGES] = {0}, least[SALIENCY_MAX_IMAGES] = {0};
    float got[SALIENCY_MAX_IMAGES];
    saliency_model other = *m; /* the same network and images */

    other.target = saliency_targets(g, "target_min", m->N);
    if (other.target && saliency_model_explain(m, name, text, NULL, most) &&
        saliency_model_explain(&other, name, text, NULL, least)) {
        if (compare(most, least, m->N, got) == FV_OK)
            golden_compare(g, name, got, m->N, 0, TOLERANCE);
        else
            golden_fail(g, name, "%s", fv_error_message());
    }
    for (int64_t b = 0; b < m->N; b++) {
        fv_explanation_destroy(&most[b]);
        fv_explanation_destroy(&least[b]);
    }
}

void class_sensitivity_convnet_cases(const saliency_model *m) {
    static const struct {
        const char *kind, *method;
    } kinds[] = {{"conv1x1", "normgrad:conv1x1"},
                 {"selective", "normgrad:selective"},
                 {"gradcam", "gradcam"},
                 {"linear_approx", "hirescam"}};

    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        check(m, kinds[i].kind, "relu3", kinds[i].method, "relu3");
        check(m, kinds[i].kind, "relu4", kinds[i].method, "relu4");
    }
}

void class_sensitivity_vit_cases(const saliency_model *m) {
    check(m, "conv1x1", "tokens.0", "normgrad:conv1x1", "tokens");
    check(m, "conv1x1", "tokens.1", "normgrad:conv1x1", "blocks.0");
}
