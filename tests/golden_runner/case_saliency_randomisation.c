#include "tests/golden_runner/case_saliency_randomisation.h"

#include "core/alloc.h"
#include "eval/saliency/metric_randomisation.h"
#include "tests/golden_runner/saliency_model.h"

#include <string.h>

#define TOLERANCE 1e-5
#define STAGES    5
#define IMAGES    2
#define SIDE      16

/* From the head down; a convolution goes together with its norm. */
static const struct {
    const char *name, *norm;
} stages[STAGES] = {
    {"fc", NULL}, {"conv4", NULL}, {"conv3", NULL}, {"conv2", "bn2"}, {"conv1", "bn1"}};

static const struct {
    const char *name, *text;
} methods[] = {{"gradxinput", "gradient_x_input"},
               {"lrp_epsilon_plus_flat", "lrp:epsilon_plus_flat"},
               {"normgrad_relu3_up16", "normgrad:conv1x1:layer=relu3"}};
#define METHODS (sizeof methods / sizeof *methods)

/* ---- maps ---- */

static bool belongs(const char *param, const char *layer) {
    const size_t n = layer ? strlen(layer) : 0;
    return layer && strncmp(param, layer, n) == 0 && param[n] == '.';
}

/* mprt.param.<name>; running statistics stay. */
static bool replace(golden *g, const fv_model *model, int stage) {
    for (int64_t i = 0; i < model->params.count; i++) {
        const fv_param *p = model->params.item[i];
        const char *name = golden_text(g, "mprt.param.%s", p->name);
        fv_shape shape;
        if (!p->trainable ||
            (!belongs(p->name, stages[stage].name) && !belongs(p->name, stages[stage].norm)))
            continue;
        const float *stored = golden_f32(g, name, &shape);
        if (!stored) return false;
        if (!fv_shape_equal(&shape, &p->shape)) {
            golden_fail(g, name, "another shape than the model's");
            return false;
        }
        memcpy(p->value, stored, (size_t)p->numel * sizeof *stored);
    }
    return true;
}

static void check_maps(const saliency_model *m, const char *stage) {
    for (size_t i = 0; i < METHODS; i++)
        saliency_model_check(m, golden_text(m->g, "mprt.%s.%s", stage, methods[i].name),
                             methods[i].text, true, 0, TOLERANCE);
}

/* The network's file, opened beside g. */
static bool open_network(golden *g, golden *net) {
    const char *slash = strrchr(g->path, '/');

    *net = (golden){.stem = g->stem};
    net->path =
        golden_text(g, "%.*sconvnet.safetensors", slash ? (int)(slash + 1 - g->path) : 0, g->path);
    if (fv_safetensors_open(net->path, &net->file) == FV_OK)
        net->used = fv_calloc((size_t)fv_safetensors_count(net->file) + 1, sizeof *net->used);
    if (!net->used) golden_fail(g, "mprt.network", "%s", fv_error_message());
    return net->used;
}

static void run_cascade(golden *g, golden *net) {
    saliency_model m;
    bool ready = saliency_model_open_convnet(net, &m);

    g->counts.failed += net->counts.failed;
    m.g = g; /* what follows are cases of this file */
    if (ready) check_maps(&m, "original");
    for (int k = 0; ready && k < STAGES; k++) {
        ready = replace(g, m.model, k);
        if (ready) check_maps(&m, stages[k].name);
    }
    saliency_model_close(&m);
}

/* ---- similarities ---- */

typedef struct mprt {
    golden *g;
    const char *method;
    int64_t sample;
} mprt;

/* The map that the file holds for a stage. */
static fv_status stored_map(void *user, int64_t stage, float *map) {
    const mprt *m = user;
    const float *maps =
        golden_f32(m->g, golden_text(m->g, "mprt.%s.%s", stages[stage].name, m->method), NULL);

    if (!maps) return FV_FAIL(FV_ERR_NOT_FOUND, "no map");
    memcpy(map, maps + m->sample * SIDE * SIDE, SIDE * SIDE * sizeof *map);
    return FV_OK;
}

static void check_similarities(golden *g, const char *method) {
    const char *name = golden_text(g, "mprt.original.%s", method);
    const float *original = golden_f32(g, name, NULL);
    fv_map_similarity s[IMAGES][STAGES];

    if (!original) return;
    for (int64_t i = 0; i < IMAGES; i++) {
        mprt m = {g, method, i};
        if (fv_randomisation_compare(original + i * SIDE * SIDE, SIDE, SIDE, STAGES, stored_map, &m,
                                     s[i]) != FV_OK) {
            golden_fail(g, name, "%s", fv_error_message());
            return;
        }
    }
    for (int k = 0; k < STAGES; k++) {
        float spearman[IMAGES], spearman_abs[IMAGES], ssim[IMAGES];
        for (int i = 0; i < IMAGES; i++) {
            spearman[i] = (float)s[i][k].spearman;
            spearman_abs[i] = (float)s[i][k].spearman_abs;
            ssim[i] = (float)s[i][k].ssim;
        }
        name = golden_text(g, "mprt.%s.%s", stages[k].name, method);
        golden_compare(g, golden_text(g, "%s.spearman_signed", name), spearman, IMAGES, 0.0,
                       TOLERANCE);
        golden_compare(g, golden_text(g, "%s.spearman_abs", name), spearman_abs, IMAGES, 0.0,
                       TOLERANCE);
        golden_compare(g, golden_text(g, "%s.ssim_abs01", name), ssim, IMAGES, 0.0, TOLERANCE);
    }
}

void randomisation_cases(golden *g) {
    golden net;

    if (open_network(g, &net)) run_cascade(g, &net);
    fv_free(net.used);
    fv_safetensors_close(net.file);
    fv_arena_destroy(&net.arena);
    for (size_t i = 0; i < METHODS; i++) check_similarities(g, methods[i].name);
}
