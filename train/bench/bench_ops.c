#include "train/bench/bench_ops.h"

#include "core/alloc.h"
#include "core/clock.h"
#include "core/op.h"
#include "train/bench/bench_common.h"
#include "train/bench/bench_step.h"
#include "train/bench/memory_peak.h"

#include <math.h>
#include <stdlib.h>

#define MOST_COUNTS 16 /* of threads that are simulated */
#define GIGA        1e-9

/* An op's passes; sums over the steps. */
typedef struct row {
    const fv_op *op; /* NULL: outside of ops */
    bool backward;
    int64_t calls;
    double seconds, macs, bytes;
    double serial; /* seconds outside of parallel regions */
    /* Of one step, from the shortest times of its tasks. */
    double work;
    double bound[MOST_COUNTS]; /* seconds of its regions on so many threads */
} row;

/* A parallel region of a step. */
typedef struct region {
    row *row;
    int64_t n_tasks, first; /* of its tasks among all */
} region;

typedef struct profile {
    const fv_settings *settings;
    row *rows; /* [2 ops + 1], the last is what is outside of ops */
    int n_rows, n_counts;
    int64_t count[MOST_COUNTS];
    double memory_gbytes; /* per second, the machine's */
    row *current;
    double since; /* when the current row began */
    bool on;
    /* Regions come in the same order in every step: the shortest time of each task over the steps. */
    region *regions;
    int64_t n_regions, regions_capacity, next; /* next: region of this step */
    double *task;
    int64_t n_tasks, tasks_capacity;
    bool failed; /* no memory, or steps that differ */
} profile;

static row *row_of(profile *p, const fv_op *op, bool backward) {
    int i = 0;

    while (i < fv_ops_count && fv_ops[i] != op) i++;
    row *r = &p->rows[i < fv_ops_count ? 2 * i + backward : p->n_rows - 1];
    r->op = i < fv_ops_count ? op : NULL;
    r->backward = backward;
    return r;
}

/* Time from here on belongs to another row. */
static void turn_to(profile *p, row *r) {
    const double now = fv_clock_seconds();

    if (p->on) {
        p->current->seconds += now - p->since;
        p->current->serial += now - p->since;
    }
    p->current = r;
    p->since = now;
}

static void see_op(void *user, const fv_var *y, bool backward, bool ends) {
    profile *p = user;
    row *r = ends ? &p->rows[p->n_rows - 1] : row_of(p, y->op, backward);

    turn_to(p, r);
    if (ends || !p->on) return;
    const fv_cost cost = y->op->cost ? y->op->cost(y) : (fv_cost){0};
    r->calls++;
    r->macs += (backward ? 2.0 : 1.0) * cost.macs;
    r->bytes += (backward ? 2.0 : 1.0) * cost.bytes;
}

/* Makes room for n items at least. */
static bool reserve(void **items, size_t size, int64_t n, int64_t *capacity) {
    if (n <= *capacity) return true;
    const int64_t wanted = 2 * n;
    void *grown = fv_realloc(*items, (size_t)wanted, size);
    if (!grown) return false;
    *items = grown;
    *capacity = wanted;
    return true;
}

/* In the first step that counts. */
static bool add_region(profile *p, int64_t n_tasks) {
    void *regions = p->regions, *task = p->task;
    const bool room =
        reserve(&regions, sizeof *p->regions, p->n_regions + 1, &p->regions_capacity) &&
        reserve(&task, sizeof *p->task, p->n_tasks + n_tasks, &p->tasks_capacity);

    p->regions = regions;
    p->task = task;
    if (!room) return false;
    p->regions[p->n_regions++] = (region){p->current, n_tasks, p->n_tasks};
    for (int64_t i = 0; i < n_tasks; i++) p->task[p->n_tasks++] = INFINITY;
    return true;
}

static void see_region(void *user, int64_t n_tasks, const double seconds[], double wall) {
    profile *p = user;

    if (!p->on || p->failed) return;
    p->current->serial -= wall;
    if (p->next == p->n_regions && !add_region(p, n_tasks)) p->failed = true;
    const region *r = p->failed ? NULL : &p->regions[p->next++];
    if (!r || r->n_tasks != n_tasks || r->row != p->current) {
        p->failed = true;
        return;
    }
    for (int64_t i = 0; i < n_tasks; i++)
        p->task[r->first + i] = fmin(p->task[r->first + i], seconds[i]);
}

static void add_bounds(profile *p, const region *r) {
    double work = 0.0, longest = 0.0;

    for (int64_t i = 0; i < r->n_tasks; i++) {
        work += p->task[r->first + i];
        longest = fmax(longest, p->task[r->first + i]);
    }
    r->row->work += work;
    for (int k = 0; k < p->n_counts; k++)
        r->row->bound[k] += fmax(work / (double)p->count[k], longest);
}

/* 1, 2, 4 ... and simulate_threads itself. */
static void choose_counts(profile *p) {
    const int64_t most = p->settings->simulate_threads;

    for (int64_t n = 1; n < most; n *= 2) p->count[p->n_counts++] = n;
    p->count[p->n_counts++] = most;
}

static fv_status measure(profile *p, fv_bench_step *b, int64_t warmup) {
    const int64_t n = warmup + p->settings->steps;

    p->current = &p->rows[p->n_rows - 1];
    fv_tape_observe(fv_stepper_tape(b->stepper), see_op, p);
    fv_parallel_observe(see_region, p);
    fv_status status = FV_OK;
    for (int64_t i = 0; i < n && status == FV_OK; i++) {
        if (fv_report_stop(b->report)) status = FV_FAIL(FV_ERR_INTERRUPTED, "interrupted");
        p->on = i >= warmup;
        p->next = 0;
        p->since = fv_clock_seconds();
        if (status == FV_OK) status = fv_bench_step_run(b, i);
        turn_to(p, &p->rows[p->n_rows - 1]);
        p->on = false; /* the peak is nobody's time */
        if (status == FV_OK) status = fv_gemm_peak_measure(b->peak);
    }
    fv_parallel_observe(NULL, NULL);
    fv_tape_observe(fv_stepper_tape(b->stepper), NULL, NULL);
    if (status == FV_OK && p->failed)
        status = FV_FAIL(FV_ERR_INTERNAL, "the steps differ in their tasks, or memory ran out");
    for (int64_t i = 0; i < p->n_regions && status == FV_OK; i++) add_bounds(p, &p->regions[i]);
    return status;
}

/* Observes updates of b, warmup others before them.  End with profile_free, also after a failure. */
static fv_status profile_run(profile *p, fv_bench_step *b, int64_t warmup) {
    p->settings = b->settings;
    p->n_rows = 2 * fv_ops_count + 1;
    choose_counts(p);
    p->rows = fv_calloc((size_t)p->n_rows, sizeof *p->rows);
    if (!p->rows) return FV_ERR_NOMEM;
    FV_TRY(fv_memory_peak(&p->memory_gbytes));
    return measure(p, b, warmup);
}

static void profile_free(profile *p) {
    fv_free(p->rows);
    fv_free(p->regions);
    fv_free(p->task);
}

static double step_seconds(const profile *p) {
    double sum = 0.0;

    for (int i = 0; i < p->n_rows; i++) sum += p->rows[i].seconds;
    return sum / (double)p->settings->steps;
}

/* ---- results ---- */

static int slowest_first(const void *pa, const void *pb) {
    const row *a = pa, *b = pb;
    return (a->seconds < b->seconds) - (a->seconds > b->seconds);
}

static void set_real(fv_arena *arena, fv_value *map, const char *key, double v) {
    fv_value_set(arena, map, key, fv_value_real(arena, v));
}

typedef struct roofs {
    double gflops, gbytes;
} roofs;

static fv_value *write_row(const profile *p, const row *r, double step, roofs roof,
                           fv_arena *arena) {
    const double steps = (double)p->settings->steps, seconds = r->seconds / steps;
    const double flops = 2.0 * r->macs / steps, bytes = r->bytes / steps;
    const int last = p->n_counts - 1;
    fv_value *map = fv_value_new(arena, FV_VALUE_MAP);

    fv_value_set(arena, map, "op", fv_value_string(arena, r->op ? r->op->name : "other"));
    fv_value_set(arena, map, "pass",
                 fv_value_string(arena, !r->op        ? "step"
                                        : r->backward ? "backward"
                                                      : "forward"));
    set_real(arena, map, "calls", (double)r->calls / steps);
    set_real(arena, map, "seconds", seconds);
    set_real(arena, map, "share", seconds / step);
    set_real(arena, map, "flops", flops);
    set_real(arena, map, "bytes", bytes);
    set_real(arena, map, "gflops", flops * GIGA / seconds);
    set_real(arena, map, "gbytes", bytes * GIGA / seconds);
    set_real(arena, map, "roof", fmax(flops / roof.gflops, bytes / roof.gbytes) * GIGA / seconds);
    set_real(arena, map, "efficiency",
             r->bound[last] > 0.0 ? r->work / ((double)p->count[last] * r->bound[last]) : 1.0);
    return map;
}

static fv_value *write_simulated(const profile *p, fv_arena *arena) {
    fv_value *list = fv_value_new(arena, FV_VALUE_LIST);
    double one = 0.0;

    for (int k = 0; k < p->n_counts; k++) {
        const double n = (double)p->count[k], steps = (double)p->settings->steps;
        double seconds = 0.0;
        for (int i = 0; i < p->n_rows; i++)
            seconds += p->rows[i].bound[k] + p->rows[i].serial / steps;
        if (k == 0) one = seconds;
        fv_value *map = fv_value_add(list, fv_value_new(arena, FV_VALUE_MAP));
        fv_value_set(arena, map, "threads", fv_value_int(arena, p->count[k]));
        set_real(arena, map, "seconds", seconds);
        set_real(arena, map, "speedup", one / seconds);
        set_real(arena, map, "efficiency", one / seconds / n);
    }
    return list;
}

static void write_ops(profile *p, const fv_bench_step *b, fv_arena *arena, fv_value *out) {
    const roofs roof = {fv_gemm_peak_gflops(b->peak), p->memory_gbytes};
    const double step = step_seconds(p);
    fv_value *ops = fv_value_new(arena, FV_VALUE_LIST);

    qsort(p->rows, (size_t)p->n_rows, sizeof *p->rows, slowest_first);
    for (int i = 0; i < p->n_rows && p->rows[i].seconds > 0.0; i++)
        fv_value_add(ops, write_row(p, &p->rows[i], step, roof, arena));
    set_real(arena, out, "memory_peak_gbytes", roof.gbytes);
    fv_value_set(arena, out, "ops", ops);
}

static void write(profile *p, const fv_bench_step *b, fv_arena *arena, fv_value *out) {
    set_real(arena, out, "gemm_peak_gflops", fv_gemm_peak_gflops(b->peak));
    set_real(arena, out, "step_seconds", step_seconds(p));
    fv_value_set(arena, out, "threads", fv_value_int(arena, fv_threads()));
    fv_value_set(arena, out, "precision", fv_value_string(arena, b->bf16 ? "bf16" : "f32"));
    write_ops(p, b, arena, out);
    fv_value_set(arena, out, "simulated", write_simulated(p, arena));
}

fv_status fv_bench_ops_profile(fv_bench_step *b, fv_arena *arena, fv_value *out) {
    profile p = {0};

    const fv_status status = profile_run(&p, b, 0);
    if (status == FV_OK) write_ops(&p, b, arena, out);
    profile_free(&p);
    return status;
}

fv_status fv_bench_ops(const fv_settings *settings, const fv_report *report, fv_arena *arena,
                       fv_value *out) {
    fv_bench_step b = {.settings = settings, .report = report};
    profile p = {0};

    fv_status status = fv_bench_step_create(&b, settings->batch_size);
    fv_parallel_assume(
        (int)settings->simulate_threads); /* tasks are cut as so many threads want them */
    if (status == FV_OK) status = profile_run(&p, &b, settings->warmup);
    fv_parallel_assume(0);
    if (status == FV_OK) write(&p, &b, arena, out);
    fv_bench_step_destroy(&b);
    profile_free(&p);
    return status;
}
