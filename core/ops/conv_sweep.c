#include "core/ops/conv_sweep.h"

#include "core/alloc.h"

#define TASK_MACS 8e6  /* images are put together up to this */
#define BAND_MACS 32e6 /* an image of twice as many is cut into bands */
#define BAND_ROWS 4    /* of the result, at least */

int64_t fv_conv_numel_x(const fv_conv *c) { return c->H * c->W * c->C; }
int64_t fv_conv_numel_y(const fv_conv *c) { return fv_conv_rows(c) * fv_conv_columns(c) * c->O; }

double fv_conv_macs(const fv_conv *c) {
    return (double)fv_conv_numel_y(c) * (double)(c->C / c->groups) * (double)(c->kh * c->kw);
}

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }

/* Elements of a row, and of an image, on the side that is read (or written). */
static int64_t row_of(const fv_conv *c, bool x) {
    return x ? c->W * c->C : fv_conv_columns(c) * c->O;
}
static int64_t image_of(const fv_conv *c, bool x) {
    return x ? fv_conv_numel_x(c) : fv_conv_numel_y(c);
}

static int64_t chunk_of(const fv_tape *tape, int64_t n) {
    const int64_t chunk = fv_tape_step(tape)->chunk_samples;
    return chunk > 0 ? chunk : n;
}

/* Rows first .. first + rows - 1 of y from the rows of x under them. */
static fv_conv forward_band(const fv_conv *c, int64_t first, int64_t rows, fv_conv_part *part) {
    const int64_t start = first * c->stride - c->top;
    const int64_t end = start + (rows - 1) * c->stride + c->kh;
    fv_conv band = *c;

    part->in_row = most(start, 0);
    part->out_row = first;
    part->out_rows = rows;
    band.H = least(end, c->H) - part->in_row;
    band.top = most(-start, 0);
    band.bottom = most(end - c->H, 0);
    return band;
}

/* Rows first .. first + rows - 1 of dx from the rows of dy that they went into: row o of dy reaches rows
 * o s - top .. o s - top + kh - 1 of x, so the band's top padding is what sticks out of it above. */
static fv_conv data_band(const fv_conv *c, int64_t first, int64_t rows, fv_conv_part *part) {
    const int64_t o0 = fv_tile_count(most(first + c->top - c->kh + 1, 0), c->stride);
    const int64_t o1 = least((first + rows - 1 + c->top) / c->stride, fv_conv_rows(c) - 1);
    fv_conv band = *c;

    part->in_row = o0;
    part->out_row = first;
    part->out_rows = rows;
    band.H = rows;
    band.top = first + c->top - o0 * c->stride;
    band.bottom = most((o1 - o0) * c->stride + c->kh - rows - band.top, 0);
    return band;
}

/* Bands only where every row of x is read by some row of y, and for dense kernels. */
static int64_t count_bands(const fv_conv *c, int64_t rows) {
    const double macs = fv_conv_macs(c);

    if (c->groups > 1 || c->kh < c->stride || macs < 2 * BAND_MACS) return 1;
    const int64_t bands = least((int64_t)(macs / BAND_MACS), rows / BAND_ROWS);
    return most(least(bands, FV_CONV_BANDS), 1);
}

static fv_status find(fv_conv desc, fv_conv_part *part) {
    return fv_backend()->conv_find(&desc, &part->plan);
}

/* A last band of few rows joins the one before it: it may have no row of dy of its own. */
static fv_status cut_bands(fv_conv_sweep *s, int64_t rows) {
    const bool data = s->desc.pass == FV_CONV_DATA;
    const int64_t step = data ? s->desc.stride : 1, fewest = most(BAND_ROWS, s->desc.stride);
    const int64_t height = fv_tile_count(fv_tile_count(rows, s->n_bands), step) * step;
    int64_t n;

    for (int64_t first = 0; first < rows; first += n) {
        fv_conv_part *part = &s->part[s->n_parts++];
        n = rows - first < height + fewest ? rows - first : height;
        fv_conv band =
            data ? data_band(&s->desc, first, n, part) : forward_band(&s->desc, first, n, part);
        band.n = 1;
        FV_TRY(find(band, part));
    }
    s->n_bands = s->n_parts;
    s->n_tasks = s->desc.n * s->n_bands;
    return FV_OK;
}

static fv_status cut(fv_conv_sweep *s, int64_t chunk) {
    const int64_t rows = s->desc.pass == FV_CONV_DATA ? s->desc.H : fv_conv_rows(&s->desc);
    const double macs = fv_conv_macs(&s->desc);

    s->images = 1;
    while (2 * s->images <= chunk && 2.0 * (double)s->images * macs <= TASK_MACS) s->images *= 2;
    s->n_bands = s->images > 1 ? 1 : count_bands(&s->desc, rows);
    if (s->n_bands > 1) return cut_bands(s, rows);
    s->n_tasks = fv_tile_count(s->desc.n, s->images);
    const int64_t last = s->desc.n - (s->n_tasks - 1) * s->images;
    for (int i = 0; i < (last == s->images ? 1 : 2); i++) {
        fv_conv some = s->desc;
        some.n = i ? last : s->images;
        s->part[s->n_parts++].out_rows = rows;
        FV_TRY(find(some, &s->part[i]));
    }
    return FV_OK;
}

/* ---- weights ---- */

typedef struct pack_job {
    const fv_conv_sweep *sweep;
    const void *w;
    int first[FV_CONV_BANDS]; /* the first part of each plan */
    atomic_int *failed;
} pack_job;

static void pack_part(int64_t task, void *arg) {
    const pack_job *j = arg;
    const fv_conv_part *part = &j->sweep->part[j->first[task]];
    if (fv_backend()->conv_pack(part->plan, j->w, (void *)(uintptr_t)part->packed) != FV_OK)
        atomic_store(j->failed, 1);
}

/* Each plan may want a layout of its own; equal bands share one. */
static fv_status pack(fv_tape *tape, fv_conv_sweep *s, const void *w) {
    pack_job job = {.sweep = s, .w = w, .failed = s->failed};
    size_t offset[FV_CONV_BANDS], total = 0;
    int n = 0;

    for (int i = 0; i < s->n_parts; i++) {
        int same = 0;
        while (s->part[same].plan != s->part[i].plan) same++;
        offset[i] = same < i ? offset[same] : total;
        if (same < i) continue;
        const size_t bytes = fv_backend()->conv_packed_bytes(s->part[i].plan);
        total += (bytes + FV_ALIGN - 1) / FV_ALIGN * FV_ALIGN;
        job.first[n++] = i;
    }
    const char *packed = (const char *)fv_tape_scratch(tape, (int64_t)(total / sizeof(float)));
    if (!packed) return FV_ERR_NOMEM;
    for (int i = 0; i < s->n_parts; i++) s->part[i].packed = packed + offset[i];
    fv_parallel(n, pack_part, &job);
    return FV_OK;
}

/* ---- the sweep ---- */

fv_status fv_conv_sweep_begin(fv_tape *tape, const fv_conv *desc, const void *in, const void *w,
                              const float *bias, const fv_grad *out, atomic_int *failed,
                              fv_conv_sweep *sweep) {
    *sweep = (fv_conv_sweep){
        .desc = *desc, .in = in, .bias = bias, .out = *out, .direct = !out->add, .failed = failed};
    sweep->desc.out = sweep->direct ? out->dtype : FV_F32;
    FV_TRY(cut(sweep, chunk_of(tape, desc->n)));
    int64_t rows = 0;
    for (int i = 0; i < sweep->n_parts; i++) rows = most(rows, sweep->part[i].out_rows);
    if (!sweep->direct)
        sweep->scratch_bytes =
            (size_t)(sweep->images * rows * row_of(desc, desc->pass == FV_CONV_DATA)) *
            sizeof(float);
    return pack(tape, sweep, w);
}

void fv_conv_sweep_task(const fv_conv_sweep *s, int64_t task) {
    const fv_conv *c = &s->desc;
    const bool data = c->pass == FV_CONV_DATA, banded = s->n_bands > 1;
    const int64_t first = banded ? task / s->n_bands : task * s->images;
    const int64_t images = banded ? 1 : least(s->images, c->n - first);
    const fv_conv_part *part = &s->part[banded ? task % s->n_bands : images < s->images];
    const int64_t from = first * image_of(c, !data) + part->in_row * row_of(c, !data);
    const int64_t to = first * image_of(c, data) + part->out_row * row_of(c, data);
    const char *in = (const char *)s->in + (size_t)from * fv_dtype_bytes(c->in);
    char *out = (char *)s->out.data + (size_t)to * fv_dtype_bytes(s->out.dtype);
    float *scratch = s->direct ? NULL : fv_scratch(s->scratch_bytes);

    if (fv_backend()->conv_run(part->plan, in, part->packed, s->bias,
                               s->direct ? (void *)out : scratch) != FV_OK)
        atomic_store(s->failed, 1);
    else if (!s->direct)
        fv_grad_store(&s->out, to, images * part->out_rows * row_of(c, data), scratch);
}
