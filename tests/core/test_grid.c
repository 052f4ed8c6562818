#include "core/grid.h"

#include "core/parallel.h"

#include <criterion/criterion.h>

#include <string.h>

static fv_tape *tape;

static void enter(void) { cr_assert_eq(fv_tape_create(&tape), FV_OK); }

static void leave(void) {
    fv_threads_set(0);
    fv_tape_destroy(tape);
}

TestSuite(core_grid, .init = enter, .fini = leave);

/* The grid of a variable [samples, rows, 4] without data. */
static fv_grid grid_of(int64_t samples, int64_t rows, int64_t chunk) {
    fv_tape_begin(tape, &(fv_step){.mode = FV_INFER, .dry = true, .chunk_samples = chunk});
    const fv_tensor t = {NULL, FV_F32, fv_shape_of(3, samples, rows, (int64_t)4)};
    return fv_grid_of(fv_input(tape, &t, false));
}

static const int64_t row_counts[] = {1,   3,   16,  49,  64,  197,  198,
                                     320, 321, 384, 385, 576, 1025, 3136};
static const int64_t chunks[] = {0, 1, 2, 8, 16, 64};
#define N_ROWS   (int)(sizeof row_counts / sizeof *row_counts)
#define N_CHUNKS (int)(sizeof chunks / sizeof *chunks)

static void check_cover(const fv_grid *g, int64_t samples, int64_t rows) {
    int64_t at = 0, chunk_at = 0;

    for (int64_t t = 0; t < g->n_tiles; t++) {
        const fv_span tile = fv_grid_tile(g, t);
        const int64_t chunk_rows = g->chunk_samples * rows;
        cr_assert_eq(tile.first, at, "tile %d", (int)t);
        cr_assert(tile.count > 0 && tile.count <= g->tile_rows);
        cr_assert_eq(tile.first / chunk_rows, (tile.first + tile.count - 1) / chunk_rows,
                     "tile %d straddles chunks", (int)t);
        cr_assert(rows <= tile.count ? tile.count % rows == 0
                                     : tile.first / rows == (tile.first + tile.count - 1) / rows,
                  "tile %d holds parts of two samples", (int)t);
        at += tile.count;
    }
    cr_assert_eq(at, samples * rows);
    for (int64_t c = 0; c < g->n_chunks; c++) {
        const fv_span r = fv_grid_chunk(g, c), s = fv_grid_chunk_samples(g, c);
        cr_assert_eq(s.first, chunk_at);
        cr_assert(s.count > 0 && s.count <= g->chunk_samples);
        cr_assert(r.first == s.first * rows && r.count == s.count * rows);
        const fv_span tile = fv_grid_tile(g, c * g->tiles_per_chunk);
        cr_assert_eq(tile.first, r.first, "chunk %d does not begin with its own tile", (int)c);
        chunk_at += s.count;
    }
    cr_assert_eq(chunk_at, samples);
}

Test(core_grid, tiles_cover_every_row_once_and_stay_inside_a_chunk) {
    for (int r = 0; r < N_ROWS; r++) {
        for (int c = 0; c < N_CHUNKS; c++) {
            for (int64_t samples = 1; samples <= 70; samples += samples < 20 ? 1 : 7) {
                const fv_grid g = grid_of(samples, row_counts[r], chunks[c]);
                cr_assert_eq(g.chunk_samples, chunks[c] ? chunks[c] : samples);
                check_cover(&g, samples, row_counts[r]);
            }
        }
    }
}

/* The tiles of a chunk do not depend on how many samples there are, nor on the chunk's place. */
Test(core_grid, a_chunk_is_cut_the_same_way_wherever_it_is) {
    for (int r = 0; r < N_ROWS; r++) {
        for (int c = 1; c < N_CHUNKS; c++) {
            const int64_t rows = row_counts[r], chunk = chunks[c];
            const fv_grid one = grid_of(chunk, rows, chunk);
            cr_assert_eq(one.n_tiles, one.tiles_per_chunk);
            for (int64_t samples = chunk; samples <= 3 * chunk; samples += chunk > 4 ? 3 : 1) {
                const fv_grid g = grid_of(samples, rows, chunk);
                cr_assert_eq(g.tile_rows, one.tile_rows);
                cr_assert_eq(g.tiles_per_chunk, one.tiles_per_chunk);
                for (int64_t k = 0; k < samples / chunk; k++) {
                    for (int64_t t = 0; t < one.n_tiles; t++) {
                        const fv_span a = fv_grid_tile(&one, t);
                        const fv_span b = fv_grid_tile(&g, k * g.tiles_per_chunk + t);
                        cr_assert(b.first == a.first + k * chunk * rows && b.count == a.count);
                    }
                }
            }
        }
    }
}

Test(core_grid, shapes_without_rows) {
    fv_tape_begin(tape, &(fv_step){.mode = FV_INFER, .dry = true, .chunk_samples = 4});
    const fv_tensor none = {NULL, FV_F32, fv_shape_of(2, (int64_t)0, (int64_t)8)};
    const fv_tensor flat = {NULL, FV_F32, fv_shape_of(1, (int64_t)6)};
    const fv_tensor scalar = {NULL, FV_F32, fv_shape_of(0)};

    cr_expect_eq(fv_grid_of(fv_input(tape, &none, false)).n_tiles, 0);
    fv_grid g = fv_grid_of(fv_input(tape, &flat, false));
    check_cover(&g, 6, 1);
    g = fv_grid_of(fv_input(tape, &scalar, false));
    check_cover(&g, 1, 1);
}

Test(core_grid, column_tiles_are_even_and_at_most_a_round_up_above_the_limit) {
    for (int64_t n = 1; n < 5000; n += n < 100 ? 1 : 37) {
        for (int64_t most = 16; most <= 1024; most *= 2) {
            const int64_t tile = fv_column_tile(n, most);
            if (n <= most) {
                cr_assert_eq(tile, n);
                continue;
            }
            cr_assert(tile > 0 && tile <= most && tile % 16 == 0, "%d columns by %d: %d", (int)n,
                      (int)most, (int)tile);
            const int64_t count = (n + tile - 1) / tile;
            cr_assert_leq(count, (n + most - 1) / most);
        }
    }
}

static void count_rows(int64_t first, int64_t count, void *arg) {
    unsigned char *seen = arg;
    for (int64_t i = first; i < first + count; i++) seen[i]++;
}

Test(core_grid, parallel_rows_visits_each_row_once) {
    static unsigned char seen[10 * 400];

    for (int threads = 1; threads <= 4; threads *= 2) {
        fv_threads_set(threads);
        for (int64_t rows = 50; rows <= 400; rows += 350) {
            const fv_grid g = grid_of(10, rows, 4);
            memset(seen, 0, sizeof seen);
            fv_parallel_rows(&g, count_rows, seen);
            for (int64_t i = 0; i < 10 * rows; i++) cr_assert_eq(seen[i], 1);
        }
    }
}
