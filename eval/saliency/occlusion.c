/* occlusion.c - how much the score falls when a square of the image is covered with the mean colour
 * (Zeiler and Fergus 2014, "Visualizing and understanding convolutional networks", section 4.2).  The
 * square moves by `stride`, a last one ends with the image; a pixel gets the mean over the squares that
 * cover it. */
#include "eval/saliency/copies.h"

#include <string.h>

typedef struct covering {
    const fv_explain_run *run;
    int64_t image, size, stride;
    int64_t columns; /* squares side by side */
    double score;    /* of the image itself, copy 0 */
    double *sum;     /* [H,W] */
    int64_t *count;  /* [H,W] */
} covering;

/* Positions of the square along an axis. */
static int64_t positions(int64_t side, int64_t size, int64_t stride) {
    return (side - size + stride - 1) / stride + 1;
}

/* Copy k > 0 is without square k - 1, whose upper left corner is (*y, *x). */
static void corner(const covering *c, int64_t k, int64_t *y, int64_t *x) {
    const int64_t bottom = c->run->H - c->size, right = c->run->W - c->size;

    *y = (k - 1) / c->columns * c->stride;
    *x = (k - 1) % c->columns * c->stride;
    if (*y > bottom) *y = bottom;
    if (*x > right) *x = right;
}

static void make(void *user, int64_t k, float *pixels) {
    const covering *c = user;
    const int64_t H = c->run->H, W = c->run->W;
    int64_t y, x;

    memcpy(pixels, c->run->pixels + c->image * 3 * H * W, (size_t)(3 * H * W) * sizeof *pixels);
    if (k == 0) return;
    corner(c, k, &y, &x);
    for (int64_t i = y; i < y + c->size; i++)
        memset(pixels + 3 * (i * W + x), 0, (size_t)(3 * c->size) * sizeof *pixels);
}

static void take(void *user, int64_t k, const float *logits, const float *gradient) {
    covering *c = user;
    const double score = fv_explain_score(c->run, c->image, logits);
    int64_t y, x;

    (void)gradient;
    if (k == 0) {
        c->score = score;
        return;
    }
    corner(c, k, &y, &x);
    for (int64_t i = y; i < y + c->size; i++)
        for (int64_t j = x; j < x + c->size; j++) {
            c->sum[i * c->run->W + j] += c->score - score;
            c->count[i * c->run->W + j]++;
        }
}

static fv_status cover(fv_explain_run *r, int64_t b, int64_t size, int64_t stride) {
    const fv_arena_mark mark = fv_arena_get_mark(r->arena);
    const size_t pixels = (size_t)(r->H * r->W);
    covering c = {.run = r,
                  .image = b,
                  .size = size,
                  .stride = stride,
                  .columns = positions(r->W, size, stride),
                  .sum = fv_arena_calloc(r->arena, pixels, sizeof(double)),
                  .count = fv_arena_calloc(r->arena, pixels, sizeof(int64_t))};
    const fv_copies copies = {.image = b,
                              .count = 1 + positions(r->H, size, stride) * c.columns,
                              .user = &c,
                              .make = make,
                              .take = take};

    if (!c.sum || !c.count) return FV_ERR_NOMEM;
    FV_TRY(fv_copies_run(r, &copies));
    for (size_t i = 0; i < pixels; i++) r->out[b].map[i] = (float)(c.sum[i] / (double)c.count[i]);
    fv_arena_rewind(r->arena, mark);
    return FV_OK;
}

static fv_status run(fv_explain_run *r) {
    const int64_t side = r->H < r->W ? r->H : r->W;
    int64_t size = (int64_t)fv_saliency_number(r->choice, "size");
    int64_t stride = (int64_t)fv_saliency_number(r->choice, "stride");

    if (!size) size = side >= 16 ? side / 8 : 2;
    if (!stride) stride = size >= 2 ? size / 2 : 1;
    if (size > side)
        return FV_FAIL(FV_ERR_CONFIG, "occlusion: size %lld is more than the image's %lld px",
                       (long long)size, (long long)side);
    if (stride > size)
        return FV_FAIL(FV_ERR_CONFIG, "occlusion: stride %lld leaves gaps between squares of %lld",
                       (long long)stride, (long long)size);
    for (int64_t b = 0; b < r->B; b++) FV_TRY(cover(r, b, size, stride));
    return FV_OK;
}

static const fv_saliency_param params[] = {{.name = "size",
                                            .initial = 0,
                                            .min = 0,
                                            .max = 4096,
                                            .integer = true,
                                            .help = "px; 0: an eighth of the shorter side"},
                                           {.name = "stride",
                                            .initial = 0,
                                            .min = 0,
                                            .max = 4096,
                                            .integer = true,
                                            .help = "px; 0: half of the size"},
                                           {0}};

const fv_saliency_method fv_saliency_occlusion = {
    .name = "occlusion",
    .summary = "how much the score falls when a square is covered",
    .source = "Zeiler and Fergus 2014, Visualizing and Understanding Convolutional Networks",
    .params = params,
    .kind = FV_SALIENCY_MAP,
    .has_sign = true,
    .run = run};
