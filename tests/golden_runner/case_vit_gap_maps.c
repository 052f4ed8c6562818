/* Maps at the layers of vit_gap.safetensors, whose network is no fv_model: methods run on a recorded pass
 * that ends in its logits. */
#include "eval/saliency/explain_run.h"
#include "tests/golden_runner/saliency_case.h"
#include "tests/golden_runner/vit_net.h"

#include <string.h>

#define MAX_IMAGES 8
#define TOLERANCE  1e-5

/* The method's grids, one behind the other, in the file's arena. */
static fv_status explain(vit_net *net, const char *method, const char *tap, float **grids,
                         int64_t *numel) {
    golden *g = net->g;
    const int64_t *s = net->images.shape.dim;
    fv_explanation out[MAX_IMAGES] = {0};
    fv_saliency_choice choice;
    fv_explain_run run = {.tape = net->tape,
                          .model = net->model,
                          .choice = &choice,
                          .layers = {tap},
                          .n_layers = 1,
                          .B = s[0],
                          .H = s[1],
                          .W = s[2],
                          .K = VIT_NET_CLASSES,
                          .pixels = net->images.data,
                          .target = net->target,
                          .out = out,
                          .arena = &g->arena};

    if (run.B > MAX_IMAGES) return FV_FAIL(FV_ERR_FORMAT, "too many images");
    FV_TRY(fv_saliency_parse(method, &g->arena, &choice));
    fv_tape_clear_watches(net->tape);
    FV_TRY(fv_tape_watch(net->tape, "blocks.1", FV_WATCH_VALUE | FV_WATCH_GRAD));
    FV_TRY(choice.method->prepare(&run));
    run.logits = vit_net_record(net, &run.x);
    if (!run.logits) return FV_FAIL(FV_ERR_INTERNAL, "nothing recorded");
    run.weight = saliency_seed(g, run.logits, net->target, FV_SIGNAL_GI);
    if (!run.weight) return FV_ERR_NOMEM;

    fv_status status = choice.method->run(&run);
    const int64_t n = out[0].grid_h * out[0].grid_w;
    *numel = run.B * n;
    *grids = fv_arena_calloc(&g->arena, (size_t)*numel + 1, sizeof **grids);
    if (status == FV_OK && !*grids) status = FV_ERR_NOMEM;
    for (int64_t b = 0; b < run.B; b++) {
        if (status == FV_OK) memcpy(*grids + b * n, out[b].grid, (size_t)n * sizeof **grids);
        fv_explanation_destroy(&out[b]);
    }
    return status;
}

void vit_gap_check_maps(vit_net *net) {
    static const struct {
        const char *kind, *method;
    } kinds[] = {{"conv1x1", "normgrad:conv1x1"}, {"gradcam", "gradcam"}};

    for (int i = 0; i < 6; i++) {
        const char *node = golden_text(net->g, "tokens.%d", i / 2);
        const char *name = golden_text(net->g, "map.%s.%s", kinds[i % 2].kind, node);
        float *grids;
        int64_t n;
        if (explain(net, kinds[i % 2].method, vit_net_tap(net->g, node), &grids, &n) == FV_OK)
            golden_compare(net->g, name, grids, n, 0, TOLERANCE);
        else
            golden_fail(net->g, name, "%s", fv_error_message());
    }
    fv_tape_clear_watches(net->tape);
}
