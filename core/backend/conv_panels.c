#include "core/backend/conv_panels.h"

#include "core/backend/lanes.h"
#include "core/backend/panels.h"

#include <string.h>

#define COLUMNS  384 /* of dW at a time: with its rows, 288 KiB of sums */
#define CHANNELS 16  /* at least: fewer would be copied in pieces too short */
#define SUMS     (FV_BLOCK_ROWS * COLUMNS)
#define BYTES    ((FV_BLOCK_FLOATS + SUMS) * sizeof(float))

static fv_lane lanes[FV_MAX_THREADS];

bool fv_conv_panels_supports(const fv_conv *c) {
    return c->pass == FV_CONV_WEIGHTS && c->groups == 1 && c->in == FV_F32 && c->C >= CHANNELS;
}

fv_status fv_conv_panels_equip(int *n_lanes) { return fv_lanes_equip(lanes, n_lanes, BYTES); }

void fv_conv_panels_release(void) { fv_lanes_release(lanes); }

/* ---- rows of X ---- */

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }

static void clear(int64_t n, int64_t width, float *to) {
    const int64_t wide = fv_kernel()->panel;

    for (int64_t i = 0; i < n; i++, to += wide) memset(to, 0, (size_t)width * sizeof *to);
}

/* Columns of X: some channels under one tap. */
typedef struct piece {
    int64_t u, v, channel, width;
} piece;

/* Of n pixels of y in a row, from column j on, whose pixels of x under the tap are in row `row` of x. */
static void load_row(const fv_conv *c, const piece *s, const float *row, bool inside, int64_t j,
                     int64_t n, float *to) {
    const int64_t shift = c->left - s->v, step = c->stride, wide = fv_kernel()->panel;
    const int64_t first =
        shift > 0 ? (shift + step - 1) / step : 0; /* column of y that sees column >= 0 */
    const int64_t end = c->W + shift > 0 ? (c->W - 1 + shift) / step + 1 : 0;
    const int64_t from = inside ? least(most(first, j), j + n) : j + n;
    const int64_t to_end = most(least(end, j + n), from);

    clear(from - j, s->width, to);
    if (to_end > from)
        fv_panel_rows(to_end - from, s->width, row + (from * step - shift) * c->C + s->channel,
                      step * c->C, to + (from - j) * wide);
    clear(j + n - to_end, s->width, to + (to_end - j) * wide);
}

/* Of pixels first .. first + count - 1, counted through the images. */
static void load_piece(const fv_conv *c, const piece *s, const float *x, int64_t first,
                       int64_t count, float *to) {
    const int64_t Ho = fv_conv_rows(c), Wo = fv_conv_columns(c), wide = fv_kernel()->panel;

    for (int64_t p = first, n; p < first + count; p += n, to += n * wide) {
        const int64_t i = p / Wo % Ho, j = p % Wo, row = i * c->stride - c->top + s->u;
        const bool inside = row >= 0 && row < c->H;
        n = least(Wo - j, first + count - p);
        load_row(c, s, inside ? x + (p / (Ho * Wo) * c->H + row) * c->W * c->C : x, inside, j, n,
                 to);
    }
}

/* Columns j .. j + width - 1, which may lie under several taps. */
static void load_panel(const fv_conv *c, const float *x, int64_t first, int64_t count, int64_t j,
                       int64_t width, float *panel) {
    for (int64_t done = 0; done < width;) {
        const int64_t tap = (j + done) / c->C;
        piece s = {.u = tap / c->kw, .v = tap % c->kw, .channel = (j + done) % c->C};
        s.width = least(c->C - s.channel, width - done);
        load_piece(c, &s, x, first, count, panel + done);
        done += s.width;
    }
}

/* ---- sums ---- */

/* Rows o .. o + p->m - 1 and columns j0 .. j0 + n - 1 of dW. */
static void sum(const fv_conv *c, const float *x, const float *dy, int64_t o, fv_product *p,
                int64_t j0, int64_t n, float *strips, float *sums) {
    const int64_t pixels = c->n * fv_conv_rows(c) * fv_conv_columns(c);
    _Alignas(64) float panel[FV_PANEL_FLOATS];

    p->add = false;
    for (int64_t first = 0; first < pixels; first += FV_PANEL_HEIGHT, p->add = true) {
        p->k = least(FV_PANEL_HEIGHT, pixels - first);
        p->a_strip = FV_STRIP_ROWS * p->k;
        fv_pack_strips(p->m, p->k, dy + first * c->O + o, c->O, strips);
        for (int64_t j = 0; j < n; j += p->ldb) {
            p->n = least(p->ldb, n - j);
            load_panel(c, x, first, p->k, j0 + j, p->n, panel);
            fv_kernel()->product(p, strips, panel, sums + j);
        }
    }
}

/* From [O, taps, C] to [O, C, taps]. */
static void store(const fv_conv *c, const float *sums, int64_t o, int64_t rows, int64_t j0,
                  int64_t n, float *dw) {
    const int64_t taps = c->kh * c->kw;

    for (int64_t r = 0; r < rows; r++, sums += COLUMNS) {
        float *to = dw + (o + r) * c->C * taps;
        for (int64_t j = 0; j < n; j++) to[(j0 + j) % c->C * taps + (j0 + j) / c->C] = sums[j];
    }
}

fv_status fv_conv_panels_run(const fv_conv *c, int n_lanes, const float *x, const float *dy,
                             float *dw) {
    const int64_t fan_in = c->C * c->kh * c->kw;
    fv_product p = {
        .a_row = 1, .a_column = FV_STRIP_ROWS, .ldb = fv_kernel()->panel, .ldc = COLUMNS};
    fv_loan loan;

    float *strips = fv_lanes_borrow(lanes, n_lanes, BYTES, &loan);
    if (!strips) return FV_ERR_NOMEM;
    float *sums = strips + FV_BLOCK_FLOATS;
    for (int64_t o = 0; o < c->O; o += FV_BLOCK_ROWS) {
        p.m = least(FV_BLOCK_ROWS, c->O - o);
        for (int64_t j = 0; j < fan_in; j += COLUMNS) {
            const int64_t n = least(COLUMNS, fan_in - j);
            sum(c, x, dy, o, &p, j, n, strips, sums);
            store(c, sums, o, p.m, j, n, dw);
        }
    }
    fv_lanes_return(&loan);
    return FV_OK;
}
