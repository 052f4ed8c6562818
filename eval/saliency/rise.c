#include "eval/saliency/rise.h"

#include "core/rng.h"
#include "eval/saliency/copies.h"
#include "eval/saliency/upsample.h"

#include <string.h>

/* ---- masks ---- */

static int64_t cell_size(int64_t cells, int64_t side) { return (side + cells - 1) / cells; }

int64_t fv_rise_side(int64_t cells, int64_t side) { return (cells + 1) * cell_size(cells, side); }

void fv_rise_mask(const float *grid, int64_t cells, int64_t dy, int64_t dx, int64_t H, int64_t W,
                  float *room, float *mask) {
    const int64_t width = fv_rise_side(cells, W);

    fv_upsample(grid, cells, cells, room, fv_rise_side(cells, H), width);
    for (int64_t y = 0; y < H; y++)
        memcpy(mask + y * W, room + (y + dy) * width + dx, (size_t)W * sizeof *mask);
}

typedef struct masking {
    const fv_explain_run *run;
    int64_t image, cells;
    double p;
    const float *given; /* [n,H,W] or NULL */
    float *grid, *room;
    float *drawn; /* [max_images,H,W]: those of a group */
    double *sum;  /* [H,W] */
} masking;

/* Draws 0 and 1 place the crop, the others fill the grid. */
static void draw(const masking *m, int64_t k, float *mask) {
    const fv_explain_run *r = m->run;
    fv_rng_stream stream = {.key = {.seed = r->seed, .purpose = FV_RNG_RISE, .step = (uint32_t)k}};
    const int64_t dy = fv_rng_next_below(&stream, cell_size(m->cells, r->H));
    const int64_t dx = fv_rng_next_below(&stream, cell_size(m->cells, r->W));

    for (int64_t i = 0; i < m->cells * m->cells; i++)
        m->grid[i] = fv_rng_next(&stream) < m->p ? 1.0f : 0.0f;
    fv_rise_mask(m->grid, m->cells, dy, dx, r->H, r->W, m->room, mask);
}

/* ---- the map ---- */

static const float *mask_of(const masking *m, int64_t k) {
    const int64_t n = m->run->H * m->run->W;
    return m->given ? m->given + k * n : m->drawn + k % m->run->max_images * n;
}

static void make(void *user, int64_t k, float *pixels) {
    const masking *m = user;
    const int64_t n = m->run->H * m->run->W;
    const float *image = m->run->pixels + m->image * 3 * n;

    if (!m->given) draw(m, k, m->drawn + k % m->run->max_images * n);
    const float *mask = mask_of(m, k);
    for (int64_t i = 0; i < 3 * n; i++) pixels[i] = image[i] * mask[i / 3];
}

static void take(void *user, int64_t k, const float *logits, const float *gradient) {
    const masking *m = user;
    const double probability = fv_explain_probability(m->run, m->image, logits);
    const float *mask = mask_of(m, k);

    (void)gradient;
    for (int64_t i = 0; i < m->run->H * m->run->W; i++) m->sum[i] += probability * (double)mask[i];
}

fv_status fv_rise_map(fv_explain_run *r, int64_t b, int64_t n, int64_t cells, double p,
                      const float *masks, float *map) {
    const fv_arena_mark mark = fv_arena_get_mark(r->arena);
    const int64_t pixels = r->H * r->W;
    const int64_t room = fv_rise_side(cells, r->H) * fv_rise_side(cells, r->W);
    masking m = {.run = r,
                 .image = b,
                 .cells = cells,
                 .p = p,
                 .given = masks,
                 .grid = fv_arena_alloc(r->arena, (size_t)(cells * cells), sizeof(float)),
                 .room = fv_arena_alloc(r->arena, (size_t)room, sizeof(float)),
                 .drawn = fv_arena_alloc(r->arena, (size_t)(r->max_images * pixels), sizeof(float)),
                 .sum = fv_arena_calloc(r->arena, (size_t)pixels, sizeof(double))};
    const fv_copies copies = {.image = b, .count = n, .user = &m, .make = make, .take = take};

    if (!m.grid || !m.room || !m.drawn || !m.sum) return FV_ERR_NOMEM;
    FV_TRY(fv_copies_run(r, &copies));
    for (int64_t i = 0; i < pixels; i++) map[i] = (float)(m.sum[i] / ((double)n * p));
    fv_arena_rewind(r->arena, mark);
    return FV_OK;
}

/* ---- the method ---- */

/* Whether the score is the class's logit. */
static bool is_plain(const fv_explain_run *r, int64_t b) {
    for (int64_t k = 0; k < r->K; k++)
        if (r->weight[b * r->K + k] != (k == r->target[b] ? 1.0f : 0.0f)) return false;
    return true;
}

static fv_status run(fv_explain_run *r) {
    const int64_t cells = (int64_t)fv_saliency_number(r->choice, "cells");
    const int64_t n = (int64_t)fv_saliency_number(r->choice, "masks");
    const double p = fv_saliency_number(r->choice, "p");

    for (int64_t b = 0; b < r->B; b++) {
        FV_TRY(fv_rise_map(r, b, n, cells, p, NULL, r->out[b].map));
        if (!is_plain(r, b))
            fv_explanation_warn(&r->out[b], "rise explains the class's probability, no contrast");
    }
    return FV_OK;
}

static const fv_saliency_param params[] = {
    {.name = "cells",
     .initial = 7,
     .min = 1,
     .max = 64,
     .integer = true,
     .help = "of a mask, each way"},
    {.name = "masks",
     .initial = 4000,
     .min = 1,
     .max = 1000000,
     .integer = true,
     .help = "number of masks"},
    {.name = "p", .initial = 0.5, .min = 0.01, .max = 1, .help = "share of cells that are kept"},
    {0}};

const fv_saliency_method fv_saliency_rise = {
    .name = "rise",
    .summary = "random masks, weighted with the class's probability of what they leave",
    .source = "Petsiuk et al. 2018, RISE",
    .params = params,
    .kind = FV_SALIENCY_MAP,
    .run = run};
