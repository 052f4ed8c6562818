#include "eval/saliency/metric_localisation.h"

#include "core/alloc.h"
#include "eval/ranking.h"
#include "eval/saliency/metric.h"

#include <math.h>

static const fv_metric_value values[] = {
    {"energy_pointing", "share of the positive relevance on the object", true},
    {"relevance_mass", "share of |relevance| on the object", true},
    {"rank_accuracy", "share of the largest pixels on the object", true},
    {"roc_auc", "area under the ROC curve of the map against the mask", true},
    {"box_iou", "box of the largest component above the threshold against the object's", true},
    {0}};

static const fv_metric_option options[] = {
    {"box_fraction", FV_BOX_FRACTION, "threshold of the box, of the maximum"}, {0}};

double fv_energy_pointing(const float *map, const uint8_t *mask, int64_t n) {
    double inside = 0.0, all = 0.0;

    for (int64_t i = 0; i < n; i++) {
        const double r = fmax((double)map[i], 0.0);
        all += r;
        if (mask[i]) inside += r;
    }
    return all > 0.0 ? inside / all : (double)NAN;
}

double fv_relevance_mass(const float *map, const uint8_t *mask, int64_t n) {
    double inside = 0.0, all = 0.0;

    for (int64_t i = 0; i < n; i++) {
        const double r = fabs((double)map[i]);
        all += r;
        if (mask[i]) inside += r;
    }
    return all > 0.0 ? inside / all : (double)NAN;
}

static int64_t mask_pixels(const uint8_t *mask, int64_t n) {
    int64_t count = 0;
    for (int64_t i = 0; i < n; i++) count += mask[i] != 0;
    return count;
}

fv_status fv_rank_accuracy(const float *map, const uint8_t *mask, int64_t n, double *out) {
    const int64_t n_mask = mask_pixels(mask, n);
    int64_t inside = 0;

    *out = NAN;
    int64_t *order = fv_alloc((size_t)n, sizeof *order);
    if (!order) return FV_ERR_NOMEM;
    const fv_status status = fv_order_descending(map, n, order);
    if (status == FV_OK && n_mask > 0) {
        for (int64_t i = 0; i < n_mask; i++) inside += mask[order[i]] != 0;
        *out = (double)inside / (double)n_mask;
    }
    fv_free(order);
    return status;
}

fv_status fv_roc_auc(const float *map, const uint8_t *mask, int64_t n, double *out) {
    const double positives = (double)mask_pixels(mask, n), negatives = (double)n - positives;
    double sum = 0.0;

    *out = NAN;
    double *value = fv_alloc(2 * (size_t)n, sizeof *value);
    if (!value) return FV_ERR_NOMEM;
    double *rank = value + n;
    for (int64_t i = 0; i < n; i++) value[i] = (double)map[i];
    const fv_status status = fv_midranks(value, n, rank);
    if (status == FV_OK && positives > 0.0 && negatives > 0.0) {
        for (int64_t i = 0; i < n; i++)
            if (mask[i]) sum += rank[i];
        *out = (sum - positives * (positives + 1.0) / 2.0) / (positives * negatives);
    }
    fv_free(value);
    return status;
}

void fv_threshold_mask(const float *map, int64_t n, double fraction, uint8_t *out) {
    double most = 0.0;

    for (int64_t i = 0; i < n; i++) most = fmax(most, (double)map[i]);
    for (int64_t i = 0; i < n; i++) out[i] = most > 0.0 && (double)map[i] >= fraction * most;
}

static void include(fv_pixel_box *box, int64_t y, int64_t x) {
    if (y < box->y0) box->y0 = y;
    if (y > box->y1) box->y1 = y;
    if (x < box->x0) box->x0 = x;
    if (x > box->x1) box->x1 = x;
}

static fv_pixel_box empty_box(int64_t H, int64_t W) { return (fv_pixel_box){H, W, -1, -1}; }

fv_pixel_box fv_mask_box(const uint8_t *mask, int64_t H, int64_t W) {
    fv_pixel_box box = empty_box(H, W);

    for (int64_t i = 0; i < H * W; i++)
        if (mask[i]) include(&box, i / W, i % W);
    return box;
}

/* Clears the component of pixel `first` from todo; its size and box. */
static int64_t flood(uint8_t *todo, int64_t H, int64_t W, int64_t first, int64_t *stack,
                     fv_pixel_box *box) {
    int64_t size = 0, depth = 0;

    *box = empty_box(H, W);
    todo[first] = 0;
    stack[depth++] = first;
    while (depth > 0) {
        const int64_t at = stack[--depth], y = at / W, x = at % W;
        const int64_t next[4] = {y > 0 ? at - W : -1, x > 0 ? at - 1 : -1, x + 1 < W ? at + 1 : -1,
                                 y + 1 < H ? at + W : -1};
        include(box, y, x);
        size++;
        for (int k = 0; k < 4; k++) {
            if (next[k] < 0 || !todo[next[k]]) continue;
            todo[next[k]] = 0;
            stack[depth++] = next[k];
        }
    }
    return size;
}

fv_status fv_largest_component(const uint8_t *mask, int64_t H, int64_t W, fv_pixel_box *out) {
    int64_t largest = 0;
    fv_status status = FV_ERR_NOMEM;
    uint8_t *todo = fv_alloc((size_t)(H * W), sizeof *todo);
    int64_t *stack = fv_alloc((size_t)(H * W), sizeof *stack);

    *out = empty_box(H, W);
    if (!todo || !stack) goto cleanup;
    for (int64_t i = 0; i < H * W; i++) todo[i] = mask[i] != 0;
    for (int64_t i = 0; i < H * W; i++) {
        fv_pixel_box box;
        if (!todo[i]) continue;
        const int64_t size = flood(todo, H, W, i, stack, &box);
        if (size > largest) *out = box;
        if (size > largest) largest = size;
    }
    status = FV_OK;
cleanup:
    fv_free(stack);
    fv_free(todo);
    return status;
}

static int64_t area(fv_pixel_box b) {
    return b.y1 < b.y0 || b.x1 < b.x0 ? 0 : (b.y1 - b.y0 + 1) * (b.x1 - b.x0 + 1);
}

double fv_box_iou(fv_pixel_box a, fv_pixel_box b) {
    const fv_pixel_box both = {a.y0 > b.y0 ? a.y0 : b.y0, a.x0 > b.x0 ? a.x0 : b.x0,
                               a.y1 < b.y1 ? a.y1 : b.y1, a.x1 < b.x1 ? a.x1 : b.x1};
    const int64_t shared = area(both), all = area(a) + area(b) - shared;

    return shared > 0 ? (double)shared / (double)all : 0.0;
}

/* The object's box is the one around the whole mask. */
static fv_status box_iou(const fv_metric_context *c, double *out) {
    const int64_t H = c->height, W = c->width;
    const double fraction = fv_metric_get(c, &options[0]);
    const fv_pixel_box object = fv_mask_box(c->mask, H, W);
    fv_pixel_box found;

    if (!(fraction > 0.0 && fraction <= 1.0))
        return FV_FAIL(FV_ERR_CONFIG, "box_fraction is %g", fraction);
    uint8_t *above = fv_alloc((size_t)(H * W), sizeof *above);
    if (!above) return FV_ERR_NOMEM;
    fv_threshold_mask(c->map, H * W, fraction, above);
    const fv_status status = fv_largest_component(above, H, W, &found);
    if (status == FV_OK) *out = area(object) > 0 ? fv_box_iou(found, object) : (double)NAN;
    fv_free(above);
    return status;
}

static fv_status run(const fv_metric_context *c, double *out) {
    const int64_t n = c->height * c->width;

    out[0] = fv_energy_pointing(c->map, c->mask, n);
    out[1] = fv_relevance_mass(c->map, c->mask, n);
    FV_TRY(fv_rank_accuracy(c->map, c->mask, n, &out[2]));
    FV_TRY(fv_roc_auc(c->map, c->mask, n, &out[3]));
    if (mask_pixels(c->mask, n) == 0) out[0] = out[1] = NAN; /* no object to lie on */
    return box_iou(c, &out[4]);
}

const fv_metric fv_metric_localisation = {.name = "localisation",
                                          .summary = "how much of the map lies on the object",
                                          .needs = FV_METRIC_MASK,
                                          .values = values,
                                          .options = options,
                                          .run = run};
