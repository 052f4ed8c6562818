#include "core/memplan.h"

#include "core/alloc.h"
#include "core/rng.h"
#include "tests/support/alloc_sweep.h"

#include <criterion/criterion.h>

#include <stdint.h>
#include <string.h>

static fv_memplan *plan;

static void enter(void) { cr_assert_eq(fv_memplan_create(&plan), FV_OK); }

static void leave(void) {
    fv_alloc_fail_at(0);
    fv_memplan_destroy(plan);
}

TestSuite(core_memplan, .init = enter, .fini = leave);

/* ---- random programs: each step says what happens after each allocation ---- */

#define BUFFERS_MOST 40
#define USES_MOST    3

typedef struct program {
    uint64_t key;
    int n;
    size_t bytes[BUFFERS_MOST];
    int uses[BUFFERS_MOST][USES_MOST]; /* buffers used after allocation i; -1 = none */
    int keep[BUFFERS_MOST];            /* kept right after it was allocated */
} program;

static program random_program(uint32_t number) {
    const fv_rng_key key = {.seed = number, .purpose = FV_RNG_TEST};
    program p = {.key = number};
    uint64_t draw = 0;

    p.n = 1 + (int)fv_rng_below(&key, draw++, BUFFERS_MOST);
    for (int i = 0; i < p.n; i++) {
        p.bytes[i] = fv_rng_below(&key, draw++, 8) == 0 ? 0 : 1 + fv_rng_below(&key, draw, 2000);
        p.keep[i] = fv_rng_below(&key, draw++, 10) == 0;
        for (int k = 0; k < USES_MOST; k++) {
            const uint32_t back = fv_rng_below(&key, draw++, 12);
            p.uses[i][k] = (int)back <= i ? i - (int)back : -1;
        }
    }
    return p;
}

/* Runs a program, filling each buffer with its number and checking the content at every use and, for
 * kept ones, at the end: two living buffers that overlap would show. */
static void run(const program *p, void *at[BUFFERS_MOST]) {
    int32_t id[BUFFERS_MOST];

    fv_memplan_begin(plan, p->key);
    for (int i = 0; i < p->n; i++) {
        at[i] = fv_memplan_alloc(plan, p->bytes[i], &id[i]);
        cr_assert(at[i]);
        cr_assert_eq((uintptr_t)at[i] % FV_ALIGN, 0);
        memset(at[i], i + 1, p->bytes[i]);
        if (p->keep[i]) fv_memplan_keep(plan, id[i]);
        for (int k = 0; k < USES_MOST; k++) {
            const int u = p->uses[i][k];
            if (u < 0) continue;
            const unsigned char *content = at[u];
            fv_memplan_use(plan, id[u]);
            for (size_t b = 0; b < p->bytes[u]; b++)
                cr_assert_eq(content[b], u + 1, "buffer %d used after %d", u, i);
        }
    }
    for (int i = 0; i < p->n; i++)
        for (size_t b = 0; p->keep[i] && b < p->bytes[i]; b++)
            cr_assert_eq(((unsigned char *)at[i])[b], i + 1, "kept buffer %d", i);
    cr_assert_not(fv_memplan_stale(plan));
}

static size_t sum_of(const program *p) {
    size_t sum = 0;
    for (int i = 0; i < p->n; i++) sum += (p->bytes[i] + FV_ALIGN - 1) / FV_ALIGN * FV_ALIGN;
    return sum;
}

Test(core_memplan, living_buffers_never_overlap) {
    void *first[BUFFERS_MOST], *again[BUFFERS_MOST];
    size_t planned = 0, separate = 0;

    for (uint32_t number = 1; number <= 300; number++) {
        const program p = random_program(number);
        leave();
        enter();
        run(&p, first);
        cr_assert_not(fv_memplan_replaying(plan));
        run(&p, first);
        cr_assert(fv_memplan_replaying(plan), "program %u", number);
        planned += fv_memplan_bytes(plan);
        separate += sum_of(&p);
        const uint64_t calls = fv_alloc_calls();
        run(&p, again);
        cr_assert(fv_memplan_replaying(plan));
        cr_assert_eq(fv_alloc_calls(), calls);
        cr_assert_eq(memcmp(first, again, (size_t)p.n * sizeof *first), 0);
    }
    cr_expect_lt(planned, separate * 3 / 4); /* and dead ones do share memory */
}

/* One plan, several kinds of steps in any order, more of them than are remembered. */
Test(core_memplan, kinds_of_steps_do_not_disturb_each_other) {
    const fv_rng_key key = {.seed = 99, .purpose = FV_RNG_TEST};
    void *at[BUFFERS_MOST];
    int replayed = 0;

    for (uint64_t i = 0; i < 400; i++) {
        const uint32_t kinds = i < 200 ? 4 : 90;
        const program p = random_program(1 + fv_rng_below(&key, i, kinds));
        run(&p, at);
        replayed += fv_memplan_replaying(plan);
    }
    cr_expect_gt(replayed, 200);
}

/* A step that leaves its record at any point, in any way, still has all that it was given. */
Test(core_memplan, a_mismatch_falls_back_and_is_recorded_again) {
    void *at[BUFFERS_MOST];

    for (uint32_t number = 1; number <= 200; number++) {
        const program p = random_program(number);
        program other = random_program(number + 1000);
        const int from = (int)(number % (uint32_t)p.n);
        if (other.n <= from) other.n = from + 1;
        other.key = p.key;
        for (int i = 0; i < from; i++) { /* the same up to here */
            other.bytes[i] = p.bytes[i];
            other.keep[i] = p.keep[i];
            memcpy(other.uses[i], p.uses[i], sizeof p.uses[i]);
        }
        for (int i = from; i < other.n; i++) { /* and nothing is used again that died before */
            other.bytes[i] += 4096;
            for (int k = 0; k < USES_MOST; k++)
                if (other.uses[i][k] < from && (other.uses[i][k] < 0 || !p.keep[other.uses[i][k]]))
                    other.uses[i][k] = i;
        }
        leave();
        enter();
        run(&p, at);
        run(&p, at);
        cr_assert(fv_memplan_replaying(plan));
        run(&other, at);
        cr_assert_not(fv_memplan_replaying(plan));
        run(&other, at);
        cr_assert_not(fv_memplan_replaying(plan)); /* recorded from its start */
        run(&other, at);
        cr_assert(fv_memplan_replaying(plan), "program %u", number);
    }
}

/* ---- steps that go on longer than their record ---- */

static void *allocate(size_t bytes, int32_t *id) {
    void *p = fv_memplan_alloc(plan, bytes, id);
    cr_assert(p);
    return p;
}

/* Two buffers; the first is used again after the second was allocated, or not. */
static bool two(bool use_again) {
    int32_t a, b;

    fv_memplan_begin(plan, 1);
    allocate(64, &a);
    fv_memplan_use(plan, a);
    allocate(64, &b);
    fv_memplan_use(plan, b);
    if (use_again) fv_memplan_use(plan, a);
    return fv_memplan_stale(plan);
}

Test(core_memplan, use_after_the_recorded_end_is_noticed) {
    two(false);
    cr_expect_not(two(false));
    cr_expect(two(true));
    int32_t c;
    allocate(64, &c); /* falls back: the step of this key is recorded again */
    cr_expect_not(two(true));
    cr_expect_not(two(true));
    cr_expect(fv_memplan_replaying(plan));
}

Test(core_memplan, an_abandoned_record_is_not_replayed) {
    two(false);
    fv_memplan_abandon(plan);
    cr_expect_not(two(true));
    cr_expect_not(fv_memplan_replaying(plan));
    cr_expect_not(two(true));
    cr_expect(fv_memplan_replaying(plan));
    fv_memplan_abandon(plan); /* a good record outlives a replay that stops early */
    cr_expect_not(two(true));
    cr_expect(fv_memplan_replaying(plan));
}

/* Three large buffers: the first is released, the second kept and released, the third lives. */
static void three(unsigned char *at[3], int32_t id[3]) {
    const size_t bytes = (size_t)1 << 20;

    fv_memplan_begin(plan, 1);
    for (int i = 0; i < 3; i++) {
        at[i] = allocate(bytes, &id[i]);
        memset(at[i], 7, bytes);
        fv_memplan_use(plan, id[i]);
    }
    fv_memplan_keep(plan, id[1]);
    fv_memplan_release(plan, id[0]);
    fv_memplan_release(plan, id[1]);
}

Test(core_memplan, released_buffers_are_gone_while_recording) {
    unsigned char *at[3];
    int32_t id[3];

    three(at, id);
    cr_expect_eq(at[0][1 << 19], 0, "its pages went back");
    cr_expect_eq(at[1][1 << 19], 7, "what is kept stays");
    cr_expect_eq(at[2][1 << 19], 7);
    fv_memplan_use(plan, id[1]);
    cr_expect_not(fv_memplan_stale(plan));
    fv_memplan_use(plan, id[0]);
    cr_expect(fv_memplan_stale(plan));
    three(at, id);
    cr_expect(fv_memplan_replaying(plan));
    cr_expect_eq(at[1][1 << 19], 7);
    cr_expect_not(fv_memplan_stale(plan));
}

Test(core_memplan, events_tell_steps_apart) {
    int32_t id;

    for (int i = 0; i < 4; i++) {
        fv_memplan_begin(plan, 1);
        fv_memplan_event(plan, i < 3 ? 7 : 8);
        allocate(100, &id);
        cr_expect_eq(fv_memplan_replaying(plan), i == 1 || i == 2, "step %d", i);
    }
}

Test(core_memplan, a_negative_id_is_nobody) {
    fv_memplan_begin(plan, 1);
    fv_memplan_use(plan, -1);
    fv_memplan_keep(plan, -1);
    fv_memplan_release(plan, -1);
    cr_expect_eq(fv_memplan_bytes(plan), 0);
}

static fv_status three_steps(void *arg) {
    fv_memplan *own = NULL;
    int32_t id;

    (void)arg;
    FV_TRY(fv_memplan_create(&own));
    fv_status status = FV_OK;
    for (int step = 0; status == FV_OK && step < 3; step++) {
        fv_memplan_begin(own, 1);
        for (int i = 0; status == FV_OK && i < 300; i++)
            if (!fv_memplan_alloc(own, 100, &id)) status = FV_ERR_NOMEM;
    }
    fv_memplan_destroy(own);
    return status;
}

Test(core_memplan, every_allocation_may_fail) {
    alloc_sweep_result r;
    cr_assert_eq(alloc_sweep(three_steps, NULL, &r), FV_OK, "%s", fv_error_message());
    /* the plan, entries twice, the memory; without the two lists it records again */
    cr_expect(r.failures == 6 && r.tolerated == 2, "%d, %d", (int)r.failures, (int)r.tolerated);
}

/* ---- a limit ---- */

/* A step of n buffers of 1 MB, each released before the next or kept; how many there were. */
static int record_megabytes(uint64_t key, int n, int release) {
    int32_t id;

    fv_memplan_begin(plan, key);
    for (int i = 0; i < n; i++) {
        void *p = fv_memplan_alloc(plan, (size_t)1 << 20, &id);
        if (!p) return i;
        memset(p, 1, (size_t)1 << 20);
        fv_memplan_use(plan, id);
        if (release)
            fv_memplan_release(plan, id);
        else
            fv_memplan_keep(plan, id);
    }
    return n;
}

Test(core_memplan, a_limit_counts_what_lives_and_what_is_allocated) {
    const size_t others = fv_alloc_bytes();

    fv_memplan_set_limit(plan, others + ((size_t)4 << 20) + (64u << 10));
    cr_assert_eq(record_megabytes(1, 6, 0), 4);
    fv_memplan_abandon(plan);
    cr_assert_eq(record_megabytes(1, 6, 1), 6);
    cr_assert(fv_memplan_fits(plan));
    void *more = fv_alloc((size_t)3 << 20, 1);
    cr_assert_eq(record_megabytes(2, 6, 0), 1);
    fv_memplan_abandon(plan);
    cr_assert_eq(record_megabytes(1, 6, 1), 6, "a plan that was followed before goes on");
    fv_free(more);
    fv_memplan_set_limit(plan, 0);
    cr_assert_eq(record_megabytes(3, 20, 0), 20);
}

Test(core_memplan, a_plan_over_the_limit_is_forgotten) {
    cr_assert_eq(record_megabytes(1, 4, 0), 4);
    fv_memplan_set_limit(plan, fv_alloc_bytes() + ((size_t)3 << 20));
    cr_assert(!fv_memplan_fits(plan));
    cr_assert_eq(fv_memplan_bytes(plan), (size_t)4 << 20, "what the step still holds");
    fv_memplan_set_limit(plan, 0);
    fv_memplan_begin(plan, 1);
    cr_assert(!fv_memplan_replaying(plan));
    cr_assert_eq(fv_memplan_bytes(plan), 0);
}
