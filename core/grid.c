#include "core/grid.h"

#include "core/parallel.h"

#define TILE_ROWS_MOST  320 /* of a tile made of whole samples */
#define SAMPLE_ROWS_CUT 384 /* a sample with more rows is cut */
#define TILE_ROWS       256 /* of a tile inside a sample */

fv_grid fv_grid_of(const fv_var *x) {
    const int64_t chunk = fv_tape_step(x->tape)->chunk_samples;
    fv_grid g = {.samples = x->shape.rank ? x->shape.dim[0] : 1, .rows_per_sample = 1};

    for (int i = 1; i + 1 < x->shape.rank; i++) g.rows_per_sample *= x->shape.dim[i];
    g.chunk_samples = chunk > 0 ? chunk : (g.samples > 0 ? g.samples : 1);
    g.n_chunks = (g.samples + g.chunk_samples - 1) / g.chunk_samples;
    if (g.rows_per_sample > SAMPLE_ROWS_CUT) {
        g.tile_rows = TILE_ROWS;
        g.tiles_per_sample = (g.rows_per_sample + TILE_ROWS - 1) / TILE_ROWS;
        g.tiles_per_chunk = g.tiles_per_sample * g.chunk_samples;
        g.n_tiles = g.tiles_per_sample * g.samples;
        return g;
    }
    g.samples_per_tile = 1;
    while (2 * g.samples_per_tile <= g.chunk_samples &&
           2 * g.samples_per_tile * g.rows_per_sample <= TILE_ROWS_MOST)
        g.samples_per_tile *= 2;
    g.tile_rows = g.samples_per_tile * g.rows_per_sample;
    g.tiles_per_chunk = (g.chunk_samples + g.samples_per_tile - 1) / g.samples_per_tile;
    const int64_t tail = g.samples % g.chunk_samples;
    g.n_tiles = g.samples / g.chunk_samples * g.tiles_per_chunk +
                (tail + g.samples_per_tile - 1) / g.samples_per_tile;
    return g;
}

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

fv_span fv_grid_tile(const fv_grid *g, int64_t tile) {
    if (g->tiles_per_sample) {
        const int64_t sample = tile / g->tiles_per_sample, part = tile % g->tiles_per_sample;
        const int64_t first = part * g->tile_rows;
        return (fv_span){sample * g->rows_per_sample + first,
                         least(g->tile_rows, g->rows_per_sample - first)};
    }
    const int64_t chunk = tile / g->tiles_per_chunk, part = tile % g->tiles_per_chunk;
    const int64_t first = chunk * g->chunk_samples + part * g->samples_per_tile;
    const int64_t end =
        least(least(first + g->samples_per_tile, (chunk + 1) * g->chunk_samples), g->samples);
    return (fv_span){first * g->rows_per_sample, (end - first) * g->rows_per_sample};
}

fv_span fv_grid_chunk_samples(const fv_grid *g, int64_t chunk) {
    const int64_t first = chunk * g->chunk_samples;
    return (fv_span){first, least(g->chunk_samples, g->samples - first)};
}

fv_span fv_grid_chunk(const fv_grid *g, int64_t chunk) {
    const fv_span s = fv_grid_chunk_samples(g, chunk);
    return (fv_span){s.first * g->rows_per_sample, s.count * g->rows_per_sample};
}

int64_t fv_column_tile(int64_t n, int64_t most) {
    if (n <= most) return n;
    const int64_t tiles = (n + most - 1) / most;
    return ((n + tiles - 1) / tiles + 15) / 16 * 16;
}

int64_t fv_tile_count(int64_t n, int64_t tile) { return (n + tile - 1) / tile; }

fv_span fv_tile_span(int64_t n, int64_t tile, int64_t i) {
    return (fv_span){i * tile, least(tile, n - i * tile)};
}

typedef struct rows_task {
    const fv_grid *grid;
    fv_rows_fn *fn;
    void *arg;
} rows_task;

static void run_tile(int64_t tile, void *arg) {
    const rows_task *t = arg;
    const fv_span rows = fv_grid_tile(t->grid, tile);
    t->fn(rows.first, rows.count, t->arg);
}

void fv_parallel_rows(const fv_grid *grid, fv_rows_fn *fn, void *arg) {
    fv_parallel(grid->n_tiles, run_tile, &(rows_task){grid, fn, arg});
}
