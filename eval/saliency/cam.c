#include "eval/saliency/cam.h"

fv_status fv_cam_prepare(fv_explain_run *r) {
    if (r->n_layers != 1)
        return FV_FAIL(FV_ERR_CONFIG, "%s looks at one layer, not at %d", r->choice->method->name,
                       r->n_layers);
    return fv_explain_watch_layers(r, FV_WATCH_VALUE | FV_WATCH_GRAD);
}

static bool all_zero(const float *v, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        if (v[i] != 0.0f) return false;
    return true;
}

fv_status fv_cam_run(fv_explain_run *r, fv_cam_fn *map) {
    fv_node node;

    FV_TRY(fv_explain_backward(r, r->weight));
    FV_TRY(fv_explain_node(r, r->layers[0], &node));
    const int64_t n = node.h * node.w;
    for (int64_t b = 0; b < r->B; b++) {
        fv_explanation *e = &r->out[b];
        const int64_t first = (b * node.rows + node.skip) * node.C;
        float *grid = fv_explanation_grid(e, node.h, node.w);
        if (!grid) return FV_ERR_NOMEM;
        if (!node.grad || all_zero(node.grad + first, n * node.C)) {
            fv_explanation_warn(e, "the map is zero: the score does not depend on %s",
                                r->layers[0]);
            continue;
        }
        FV_TRY(map(r, node.value + first, node.grad + first, n, node.C, grid));
        if (all_zero(grid, n))
            fv_explanation_warn(e, "the map is zero: nothing at %s speaks for the class",
                                r->layers[0]);
    }
    return FV_OK;
}
