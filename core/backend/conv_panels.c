#include "core/backend/conv_panels.h"

#include "core/backend/gemm_pairs.h"
#include "core/backend/lanes.h"
#include "core/backend/panels.h"
#include "core/prefetch.h"

#include <string.h>

#define CHANNELS 16                /* at least: fewer would be copied in pieces too short */
#define TAPS     49                /* at most */
#define COLUMNS  (TAPS * CHANNELS) /* of dW at a time: some channels under all taps */
#define ROWS     66                /* of dW at a time, whole strips: what conv_sums.c asks for */
#define BLOCK    (ROWS * FV_PANEL_HEIGHT)
#define BYTES    ((size_t)(BLOCK + ROWS * COLUMNS) * sizeof(float))

/* From pair to pair of dY in bf16: an odd number of cache lines. */
#define PAIRS_LD (2 * (ROWS + 14))

_Static_assert(FV_PAIRS_HEIGHT / 2 * PAIRS_LD * sizeof(fv_bf16) <= BLOCK * sizeof(float),
               "pairs fit where strips do");
_Static_assert(PAIRS_LD * sizeof(fv_bf16) / FV_ALIGN % 2 == 1, "an odd number of cache lines");

static fv_lane lanes[FV_MAX_THREADS];

bool fv_conv_panels_supports(const fv_conv *c) {
    return c->pass == FV_CONV_WEIGHTS && c->groups == 1 && c->C >= CHANNELS &&
           c->kh * c->kw <= TAPS && (c->in == FV_F32 || fv_pairs_lead());
}

fv_status fv_conv_panels_equip(int *n_lanes) { return fv_lanes_equip(lanes, n_lanes, BYTES); }

void fv_conv_panels_release(void) { fv_lanes_release(lanes); }

/* ---- rows of X ---- */

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

/* The part of dW that is summed up at a time: some rows, and some channels under all taps. */
typedef struct part {
    const fv_conv *c;
    int64_t Ho, Wo, pixels; /* of y; pixels of all images */
    int64_t o, rows, channel, channels;
} part;

/* Columns of X: some channels under one tap. */
typedef struct piece {
    int64_t u, v, channel, width;
} piece;

/* The element of x that a piece begins with at pixel p of y, counted through the images; -1 outside of the map.
 * run: as many pixels of y from p on have their piece in the same row of x, 1 outside. */
static int64_t element_of(const part *t, const piece *s, int64_t p, int64_t *run) {
    const fv_conv *c = t->c;
    const int64_t line = p / t->Wo, image = line / t->Ho;
    const int64_t i = line - image * t->Ho, j = p - line * t->Wo;
    const int64_t row = i * c->stride - c->top + s->u, column = j * c->stride - c->left + s->v;

    *run = 1;
    if (row < 0 || row >= c->H || column < 0 || column >= c->W) return -1;
    *run = least(t->Wo - j, (c->W - 1 - column) / c->stride + 1);
    return ((image * c->H + row) * c->W + column) * c->C + s->channel;
}

/* The piece at n pixels from p on, to rows of a panel. */
static void load_floats(const part *t, const piece *s, const float *x, int64_t p, int64_t n,
                        float *to) {
    const int64_t wide = fv_kernel()->panel;

    for (int64_t run; n > 0; n -= run, p += run, to += run * wide) {
        const int64_t at = element_of(t, s, p, &run);
        run = least(run, n);
        if (at < 0)
            memset(to, 0, (size_t)s->width * sizeof *to);
        else
            fv_panel_rows(run, s->width, x + at, t->c->stride * t->c->C, to);
    }
}

/* The piece at pixels p and p + 1, or at the first alone: rows of `both`. */
static void gather_pair(const part *t, const piece *s, const fv_bf16 *x, int64_t p, int64_t n,
                        fv_bf16 both[2][FV_PAIRS_WIDTH]) {
    const size_t bytes = (size_t)s->width * sizeof *x;

    for (int64_t i = 0, run; i < n; i++) {
        const int64_t at = element_of(t, s, p + i, &run);
        if (at < 0)
            memset(both[i], 0, bytes);
        else
            memcpy(both[i], x + at, bytes);
    }
}

/* The piece at n pixels of bf16 from p on, to pairs of rows of a panel. */
static void load_pairs(const part *t, const piece *s, const fv_bf16 *x, int64_t p, int64_t n,
                       fv_bf16 *to) {
    fv_bf16 both[2][FV_PAIRS_WIDTH];

    for (int64_t run; n > 0; n -= run, p += run, to += run * FV_PAIRS_WIDTH) {
        const int64_t at = element_of(t, s, p, &run), ld = 2 * FV_PAIRS_WIDTH;
        run = least(run, n) / 2 * 2;
        if (run) {
            fv_kernel()->pair_rows(run, s->width, x + at, t->c->stride * t->c->C, to, ld);
            continue;
        }
        run = least(2, n);
        gather_pair(t, s, x, p, run, both);
        fv_kernel()->pair_rows(run, s->width, both[0], FV_PAIRS_WIDTH, to, ld);
    }
}

/* Asks for the piece at n pixels from p on, which the hardware does not foresee. */
static void fetch_ahead(const part *t, const piece *s, const fv_bf16 *x, int64_t p, int64_t n) {
    for (int64_t run; n > 0; n -= run, p += run) {
        const int64_t at = element_of(t, s, p, &run);
        run = least(run, n);
        for (int64_t i = 0; at >= 0 && i < run; i++)
            fv_prefetch(x + at + i * t->c->stride * t->c->C, (size_t)s->width * sizeof *x);
    }
}

/* Columns j .. j + width - 1 of a part at n pixels from p on: they may lie under several taps. */
static void load_panel(const part *t, const void *x, int64_t p, int64_t n, int64_t j, int64_t width,
                       void *panel) {
    const fv_conv *c = t->c;

    for (int64_t done = 0; done < width;) {
        const int64_t tap = (j + done) / t->channels, channel = (j + done) % t->channels;
        const piece s = {.u = tap / c->kw,
                         .v = tap % c->kw,
                         .channel = t->channel + channel,
                         .width = least(t->channels - channel, width - done)};
        if (c->in == FV_BF16) {
            load_pairs(t, &s, x, p, n, (fv_bf16 *)panel + 2 * done);
            fetch_ahead(t, &s, x, p + n, least(n, t->pixels - p - n));
        } else {
            load_floats(t, &s, x, p, n, (float *)panel + done);
        }
        done += s.width;
    }
}

/* ---- sums ---- */

/* sums [rows, taps, channels] */
static void sum(const part *t, const float *x, const float *dy, float *strips, float *sums) {
    const fv_conv *c = t->c;
    const int64_t columns = c->kh * c->kw * t->channels;
    _Alignas(64) float panel[FV_PANEL_FLOATS];
    fv_product p = {.m = t->rows,
                    .a_row = 1,
                    .a_column = FV_STRIP_ROWS,
                    .ldb = fv_kernel()->panel,
                    .ldc = columns};

    for (int64_t first = 0; first < t->pixels; first += FV_PANEL_HEIGHT, p.add = true) {
        p.k = least(FV_PANEL_HEIGHT, t->pixels - first);
        p.a_strip = FV_STRIP_ROWS * p.k;
        fv_pack_strips(p.m, p.k, dy + first * c->O + t->o, c->O, strips);
        for (int64_t j = 0; j < columns; j += p.ldb) {
            p.n = least(p.ldb, columns - j);
            load_panel(t, x, first, p.k, j, p.n, panel);
            fv_kernel()->product(&p, strips, panel, sums + j);
        }
    }
}

/* The same of bf16. */
static void sum_pairs(const part *t, const fv_bf16 *x, const fv_bf16 *dy, fv_bf16 *block,
                      float *sums) {
    const fv_conv *c = t->c;
    const int64_t columns = c->kh * c->kw * t->channels;
    _Alignas(64) fv_bf16 panel[FV_PAIRS_HEIGHT * FV_PAIRS_WIDTH];
    fv_product p = {
        .m = t->rows, .a_row = 2, .a_column = PAIRS_LD, .ldb = 2 * FV_PAIRS_WIDTH, .ldc = columns};

    for (int64_t first = 0; first < t->pixels; first += FV_PAIRS_HEIGHT, p.add = true) {
        p.k = least(FV_PAIRS_HEIGHT, t->pixels - first);
        fv_kernel()->pair_rows(p.k, p.m, dy + first * c->O + t->o, c->O, block, PAIRS_LD);
        for (int64_t j = 0; j < columns; j += FV_PAIRS_WIDTH) {
            p.n = least(FV_PAIRS_WIDTH, columns - j);
            load_panel(t, x, first, p.k, j, p.n, panel);
            fv_kernel()->product_bf16(&p, block, panel, sums + j, FV_F32);
        }
    }
}

static void store(const part *t, const float *sums, float *dw) {
    const fv_conv *c = t->c;
    const int64_t taps = c->kh * c->kw;

    for (int64_t r = 0; r < t->rows; r++, sums += taps * t->channels)
        fv_kernel()->transpose(taps, t->channels, sums, t->channels,
                               dw + ((t->o + r) * c->C + t->channel) * taps, taps);
}

/* Channels of a part: whole panels, where there is room for so many. */
static int64_t channels_of(const fv_conv *c) {
    const int64_t room = COLUMNS / (c->kh * c->kw),
                  unit = room < FV_PAIRS_WIDTH ? CHANNELS : FV_PAIRS_WIDTH;
    return room / unit * unit;
}

fv_status fv_conv_panels_run(const fv_conv *c, int n_lanes, const void *x, const void *dy,
                             float *dw) {
    const int64_t channels = channels_of(c);
    part t = {.c = c, .Ho = fv_conv_rows(c), .Wo = fv_conv_columns(c)};
    fv_loan loan;

    float *block = fv_lanes_borrow(lanes, n_lanes, BYTES, &loan);
    if (!block) return FV_ERR_NOMEM;
    float *sums = block + BLOCK;
    t.pixels = c->n * t.Ho * t.Wo;
    for (t.o = 0; t.o < c->O; t.o += ROWS) {
        t.rows = least(ROWS, c->O - t.o);
        for (t.channel = 0; t.channel < c->C; t.channel += channels) {
            t.channels = least(channels, c->C - t.channel);
            if (c->in == FV_BF16)
                sum_pairs(&t, x, dy, (fv_bf16 *)block, sums);
            else
                sum(&t, x, dy, block, sums);
            store(&t, sums, dw);
        }
    }
    fv_lanes_return(&loan);
    return FV_OK;
}
