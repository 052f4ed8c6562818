#include "core/backend/gemm_pairs.h"

#include "core/backend/lanes.h"
#include "core/backend/panels.h"
#include "core/backend/plan_table.h"
#include "core/kernels/kernels.h"
#include "core/prefetch.h"

#define WIDTH   FV_PAIRS_WIDTH
#define COLUMNS 384             /* packed together, so that rows of B are read in long runs */
#define HEIGHT  FV_PAIRS_HEIGHT /* of k at a time in sums over rows */
#define ROWS    256             /* of a paired block of A */
#define PIECE   12              /* rows of C between two looks ahead */

/* Between the pairs of a block: an odd number of cache lines, no two rows in one set. */
#define LD (2 * (ROWS + 16))

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

bool fv_pairs_lead(void) {
    const unsigned wanted = FV_CPU_AVX512_BF16 | FV_CPU_AMX_BF16;
    return (fv_cpu_flags() & wanted) == FV_CPU_AVX512_BF16;
}

bool fv_gemm_pairs_supports(const fv_gemm *g) {
    return g->ab == FV_BF16 && g->alpha == 1.0f && fv_pairs_lead();
}

static int64_t pairs_of(int64_t k) { return (k + 1) / 2; }

/* A sum over rows that C can hold piece by piece. */
static bool is_sum(const fv_gemm *g) { return g->trans_a && g->c == FV_F32; }

static int64_t height_of(const fv_gemm *g) { return is_sum(g) ? least(HEIGHT, g->k) : g->k; }

static int64_t columns_of(const fv_gemm *g) { return is_sum(g) ? COLUMNS : WIDTH; }

/* ---- op(B) in panels ---- */

/* Elements of n columns of k rows in panels. */
static int64_t panels_size(int64_t n, int64_t k) {
    return (n + WIDTH - 1) / WIDTH * WIDTH * 2 * pairs_of(k);
}

size_t fv_gemm_pairs_bytes(const fv_gemm *g) {
    return (size_t)panels_size(g->n, g->k) * sizeof(fv_bf16);
}

/* Rows k0 .. k0 + height - 1 of columns first .. first + count - 1; k0 is even. */
static void pack(const fv_gemm *g, const fv_bf16 *b, int64_t k0, int64_t height, int64_t first,
                 int64_t count, fv_bf16 *panels) {
    const int64_t size = panels_size(WIDTH, height);

    if (g->trans_b) {
        b += first * g->ldb + k0;
        for (int64_t j = 0; j < count; j += WIDTH, b += WIDTH * g->ldb, panels += size)
            fv_kernel()->pair_columns(least(WIDTH, count - j), height, b, g->ldb, panels,
                                      2 * WIDTH);
        return;
    }
    b += k0 * g->ldb + first;
    for (int64_t p = 0; p < height; p += 2, b += 2 * g->ldb, panels += 2 * WIDTH)
        for (int64_t j = 0; j < count; j += WIDTH)
            fv_kernel()->pair_rows(least(2, height - p), least(WIDTH, count - j), b + j, g->ldb,
                                   panels + j / WIDTH * size, 2 * WIDTH);
}

void fv_gemm_pairs_pack(const fv_gemm *g, const fv_bf16 *b, int64_t first, int64_t count,
                        fv_bf16 *packed) {
    pack(g, b, 0, g->k, first, least(count, g->n - first), packed + first * 2 * pairs_of(g->k));
}

/* ---- scratch ---- */

static fv_lane lanes[FV_MAX_THREADS];

static int64_t panel_elements(const fv_gemm *g) {
    return g->packed ? 0 : panels_size(least(columns_of(g), g->n), height_of(g));
}

static size_t scratch_bytes(const fv_gemm *g) {
    const int64_t block = g->trans_a ? LD * pairs_of(height_of(g)) : 0;
    return (size_t)(panel_elements(g) + block) * sizeof(fv_bf16);
}

fv_status fv_gemm_pairs_equip(const fv_gemm *g, int *n_lanes) {
    const size_t bytes = scratch_bytes(g);
    return bytes ? fv_lanes_equip(lanes, n_lanes, bytes) : FV_OK;
}

void fv_gemm_pairs_release(void) { fv_lanes_release(lanes); }

/* ---- products ---- */

/* A product under way. */
typedef struct run {
    const fv_gemm *g;
    fv_product p; /* p.k: of the block */
    const fv_bf16 *a, *b;
    const float *bias;
    void *c;
    fv_bf16 *block, *panels;  /* scratch */
    int64_t next, last, step; /* rows of k to fetch ahead, and how many at a time */
} run;

/* The rows i .. i + m - 1 and the columns first .. first + count - 1 of C. */
typedef struct part {
    int64_t i, m, first, count;
} part;

static void *element(const run *r, int64_t i, int64_t j) {
    return (char *)r->c + (i * r->g->ldc + j) * (int64_t)fv_dtype_bytes(r->g->c);
}

/* Rows of the next block of k, spread over the products of this one: what a sum over rows waits for otherwise,
 * since it reads a part of each row only. */
static void plan_ahead(run *r, int64_t k0, const part *c) {
    const int64_t left = r->g->k - k0 - r->p.k, rows = least(height_of(r->g), left);
    const int64_t n = (c->m + PIECE - 1) / PIECE * ((c->count + WIDTH - 1) / WIDTH);

    r->next = k0 + r->p.k;
    r->last = r->next + rows;
    r->step = (rows + n - 1) / n;
}

static void fetch_ahead(run *r, const part *c) {
    const fv_gemm *g = r->g;
    const int64_t end = least(r->next + r->step, r->last);

    for (; r->next < end; r->next++) {
        fv_prefetch(r->a + r->next * g->lda + c->i, (size_t)c->m * sizeof *r->a);
        if (!g->packed && !g->trans_b)
            fv_prefetch(r->b + r->next * g->ldb + c->first, (size_t)c->count * sizeof *r->b);
    }
}

/* The columns' panels are `size` elements apart. */
static void run_panels(run *r, const part *c, const fv_bf16 *a, const fv_bf16 *panel,
                       int64_t size) {
    const int64_t piece = r->g->trans_a ? PIECE : c->m, last = c->first + c->count;

    for (int64_t j = c->first; j < last; j += WIDTH, panel += size) {
        r->p.n = least(WIDTH, last - j);
        r->p.start = r->bias ? r->bias + j : NULL;
        for (int64_t i = 0; i < c->m; i += piece) {
            r->p.m = least(piece, c->m - i);
            fv_kernel()->product_bf16(&r->p, a + i * r->p.a_row, panel, element(r, c->i + i, j),
                                      r->g->c);
            if (r->g->trans_a) fetch_ahead(r, c);
        }
    }
}

static void run_columns(run *r, int64_t k0, int64_t first, int64_t count) {
    const fv_gemm *g = r->g;
    const int64_t rows = g->trans_a ? ROWS : g->m;
    const fv_bf16 *panels = g->packed ? r->b + first * 2 * pairs_of(g->k) + k0 * WIDTH : r->panels;
    const int64_t size = panels_size(WIDTH, g->packed ? g->k : r->p.k);

    if (!g->packed) pack(g, r->b, k0, r->p.k, first, count, r->panels);
    for (int64_t i = 0; i < g->m; i += rows) {
        const part c = {i, least(rows, g->m - i), first, count};
        if (g->trans_a) {
            fv_kernel()->pair_rows(r->p.k, c.m, r->a + k0 * g->lda + i, g->lda, r->block, LD);
            plan_ahead(r, k0, &c);
        }
        run_panels(r, &c, g->trans_a ? r->block : r->a + i * g->lda + k0, panels, size);
    }
}

static void run_all(run *r) {
    const fv_gemm *g = r->g;
    const int64_t height = height_of(g), columns = g->packed ? g->n : columns_of(g);

    for (int64_t k0 = 0; k0 < g->k; k0 += height, r->p.add = true) {
        r->p.k = least(height, g->k - k0);
        for (int64_t j = 0; j < g->n; j += columns) run_columns(r, k0, j, least(columns, g->n - j));
    }
}

fv_status fv_gemm_pairs_run(const fv_gemm *g, int n_lanes, const fv_bf16 *a, const fv_bf16 *b,
                            const float *bias, void *c) {
    const size_t bytes = scratch_bytes(g);
    fv_loan loan = {.lane = NULL};
    run r = {.g = g,
             .p = {.a_row = g->trans_a ? 2 : g->lda,
                   .a_column = g->trans_a ? LD : 2,
                   .ldb = 2 * WIDTH,
                   .ldc = g->ldc,
                   .add = g->accumulate},
             .a = a,
             .b = b,
             .bias = g->bias ? bias : NULL,
             .c = c};

    if (bytes) {
        r.panels = fv_lanes_borrow(lanes, n_lanes, bytes, &loan);
        if (!r.panels) return FV_ERR_NOMEM;
        r.block = r.panels + panel_elements(g);
    }
    fv_gemm_add_bias(g, bias, c);
    run_all(&r);
    if (bytes) fv_lanes_return(&loan);
    return FV_OK;
}
