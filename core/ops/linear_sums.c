#include "core/ops/linear_sums.h"

#include "core/ops/param_sum.h"
#include "core/ops/row.h"

#include <string.h>

#define TILE_ROWS    128 /* at most */
#define TILE_COLUMNS 384
#define RUN_ROWS     4096

static int64_t chunk_rows(const fv_linear_sums *s, int64_t chunk) {
    return fv_grid_chunk(&s->grid, chunk).count;
}

static int64_t runs_of(const fv_linear_sums *s, int64_t chunk) {
    return fv_tile_count(chunk_rows(s, chunk), RUN_ROWS);
}

static fv_span run_rows(const fv_linear_sums *s, int64_t chunk, int64_t run) {
    const fv_span rows = fv_grid_chunk(&s->grid, chunk),
                  part = fv_tile_span(rows.count, RUN_ROWS, run);
    return (fv_span){rows.first + part.first, part.count};
}

/* A tile's result is packed. */
static fv_status find_tiles(const fv_linear_sums *s, int64_t k, fv_gemm_tiles *tiles) {
    fv_gemm d;

    memset(&d, 0, sizeof d);
    d.m = s->tile_o;
    d.n = s->tile_i; /* and ldc 0 */
    d.k = k;
    d.lda = s->O;
    d.ldb = s->I;
    d.trans_a = 1;
    d.ab = s->dtype;
    d.c = FV_F32;
    return fv_gemm_tiles_find(&d, s->O % s->tile_o, s->I % s->tile_i, tiles);
}

static fv_status find_plans(fv_linear_sums *s) {
    const int64_t full = chunk_rows(s, 0), last = chunk_rows(s, s->grid.n_chunks - 1);
    const int64_t k[3] = {full < RUN_ROWS ? full : RUN_ROWS, full % RUN_ROWS, last % RUN_ROWS};

    for (int i = 0; i < 3; i++)
        if (k[i]) FV_TRY(find_tiles(s, k[i], &s->tiles[i]));
    return FV_OK;
}

static const fv_gemm_tiles *tiles_of(const fv_linear_sums *s, int64_t rows) {
    const int64_t full = chunk_rows(s, 0);

    if (rows == full || rows == RUN_ROWS) return &s->tiles[0];
    return &s->tiles[rows == full % RUN_ROWS ? 1 : 2];
}

static int64_t stack_floats(const fv_tree *tree, int64_t n) {
    return tree ? fv_tree_scratch(tree, n) : 0;
}

static int64_t scratch_floats(const fv_linear_sums *s) {
    const int64_t tile = s->tile_o * s->tile_i, sums = 2 * s->tile_o;
    const int64_t weight = s->slots.weight ? stack_floats(s->slots.weight, tile) + tile : 0;
    const int64_t bias = stack_floats(s->slots.bias, s->tile_o) + sums;

    if (s->slots.data) return tile > sums ? tile : sums;
    return weight > bias ? weight : bias;
}

/* A slot takes a share of what its rows of x and dz take, or there are none. */
static fv_status open_slots(fv_tape *tape, fv_linear_sums *s) {
    fv_chunk_slots *slots = &s->slots;
    const int64_t rows = chunk_rows(s, 0) < RUN_ROWS ? chunk_rows(s, 0) : RUN_ROWS;

    slots->n_chunks = s->grid.n_chunks;
    slots->n_weight = slots->weight ? s->O * s->I : 0;
    slots->n_bias = slots->bias ? s->O : 0;
    slots->parts = runs_of(s, 0);
    slots->last_parts = runs_of(s, s->grid.n_chunks - 1);
    if (fv_chunk_slots_count(slots) == 1 || s->n_tasks >= fv_parallel_width() ||
        slots->n_weight > rows * (s->O + s->I))
        return FV_OK;
    return fv_chunk_slots_open(tape, slots);
}

fv_status fv_linear_sums_begin(const fv_var *y, const void *dz, const fv_grad dx[],
                               atomic_int *failed, fv_linear_sums *sums) {
    const fv_var *x = y->in[0];
    fv_linear_sums *s = sums;

    *s = (fv_linear_sums){.grid = fv_grid_of(x),
                          .O = y->in[1]->shape.dim[0],
                          .I = fv_shape_last(&x->shape),
                          .x = x->data,
                          .dz = dz,
                          .dtype = x->dtype,
                          .failed = failed};
    s->slots = (fv_chunk_slots){.weight = dx[1].tree, .bias = dx[2].tree};
    if (!s->slots.weight && !s->slots.bias) return FV_OK;
    s->tile_o = fv_column_tile(s->O, TILE_ROWS);
    s->tile_i = fv_column_tile(s->I, TILE_COLUMNS);
    s->n_o = fv_tile_count(s->O, s->tile_o);
    s->n_i = s->slots.weight ? fv_tile_count(s->I, s->tile_i) : 1;
    s->n_tasks = s->n_o * s->n_i;
    FV_TRY(open_slots(y->tape, s));
    if (s->slots.data) s->n_tasks *= fv_chunk_slots_count(&s->slots);
    s->scratch_bytes = (size_t)scratch_floats(s) * sizeof(float);
    FV_TRY(fv_scratch_reserve(s->scratch_bytes));
    return s->slots.weight ? find_plans(s) : FV_OK;
}

/* ---- one run of one tile ---- */

/* out [o.count, i.count] */
static void sum_run(const fv_linear_sums *s, fv_span rows, fv_span o, fv_span i, float *out) {
    const void *a = fv_row_at(s->dz, s->dtype, rows.first * s->O + o.first);
    const void *b = fv_row_at(s->x, s->dtype, rows.first * s->I + i.first);

    if (fv_gemm_tiles_run(tiles_of(s, rows.count), o.count, i.count, a, b, NULL, out) != FV_OK)
        atomic_store(s->failed, 1);
}

/* block: scratch for o.count floats */
static void sum_run_bias(const fv_linear_sums *s, fv_span rows, fv_span o, float *out,
                         float *block) {
    const fv_row_sum sum = {.rows = s->dz, .dtype = s->dtype, .ld = s->O};
    fv_param_chunk_sum(&sum, rows.first, rows.first + rows.count, o.first, o.count, out, block);
}

/* ---- tasks ---- */

static void weight_tile(const fv_linear_sums *s, fv_span o, fv_span i, float *scratch) {
    float *next = scratch + fv_tree_scratch(s->slots.weight, o.count * i.count);
    fv_tree_tile tile;

    fv_tree_begin(&tile, s->slots.weight, o.first * s->I + i.first, o.count, i.count, s->I,
                  scratch);
    for (int64_t c = 0; c < s->grid.n_chunks; c++) {
        float *out = fv_tree_next(&tile);
        for (int64_t run = 0; run < runs_of(s, c); run++) {
            sum_run(s, run_rows(s, c, run), o, i, run ? next : out);
            if (run) fv_kernel()->axpy(o.count * i.count, 1.0f, next, out);
        }
        fv_tree_push(&tile);
    }
    fv_tree_end(&tile);
}

static void bias_tile(const fv_linear_sums *s, fv_span o, float *scratch) {
    float *block = scratch + fv_tree_scratch(s->slots.bias, o.count), *next = block + o.count;
    fv_tree_tile tile;

    fv_tree_begin(&tile, s->slots.bias, o.first, 1, o.count, o.count, scratch);
    for (int64_t c = 0; c < s->grid.n_chunks; c++) {
        float *out = fv_tree_next(&tile);
        for (int64_t run = 0; run < runs_of(s, c); run++) {
            sum_run_bias(s, run_rows(s, c, run), o, run ? next : out, block);
            if (run) fv_kernel()->axpy(o.count, 1.0f, next, out);
        }
        fv_tree_push(&tile);
    }
    fv_tree_end(&tile);
}

void fv_linear_sums_task(const fv_linear_sums *s, int64_t task) {
    const fv_chunk_slots *slots = &s->slots;
    const int64_t tile = task % (s->n_o * s->n_i), slot = task / (s->n_o * s->n_i);
    const fv_span o = fv_tile_span(s->O, s->tile_o, tile / s->n_i);
    const fv_span i = fv_tile_span(s->I, s->tile_i, tile % s->n_i);
    const bool bias = slots->bias && i.first == 0;
    float *scratch = fv_scratch(s->scratch_bytes);

    if (!slots->data) {
        if (slots->weight) weight_tile(s, o, i, scratch);
        if (bias) bias_tile(s, o, scratch);
        return;
    }
    const fv_span rows = run_rows(s, slot / slots->parts, slot % slots->parts);
    if (slots->weight) {
        float *out = fv_chunk_slots_weight(slots, slot) + o.first * s->I + i.first;
        sum_run(s, rows, o, i, scratch);
        for (int64_t r = 0; r < o.count; r++)
            memcpy(out + r * s->I, scratch + r * i.count, (size_t)i.count * sizeof *out);
    }
    if (bias) sum_run_bias(s, rows, o, fv_chunk_slots_bias(slots, slot) + o.first, scratch);
}

fv_status fv_linear_sums_end(const fv_linear_sums *s) { return fv_chunk_slots_close(&s->slots); }
