#include "core/alloc.h"
#include "core/parallel.h"

#include <criterion/criterion.h>

#include <omp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#define TASKS 1000

typedef struct record {
    atomic_int runs[TASKS];
    atomic_int bad_index, wide_limit, seen[FV_MAX_THREADS];
} record;

static void note(int64_t task, void *arg) {
    record *r = arg;
    const int index = fv_thread_index();

    r->runs[task]++;
    if (index < 0 || index >= fv_threads()) r->bad_index++;
    if (!omp_in_parallel() && omp_get_max_threads() != 1) r->wide_limit++;
    r->seen[index]++;
}

static void check_each_once(int64_t n_tasks) {
    static record r;

    memset(&r, 0, sizeof r);
    fv_parallel(n_tasks, note, &r);
    for (int64_t i = 0; i < TASKS; i++) cr_assert_eq(r.runs[i], i < n_tasks, "task %d", (int)i);
    cr_assert_eq(r.bad_index, 0);
    cr_assert_eq(r.wide_limit, 0, "a library could start its own team inside a task");
    cr_assert_eq(fv_thread_index(), 0);
}

Test(core_parallel, every_task_runs_once) {
    const int threads[] = {1, 2, 5};
    for (int i = 0; i < 3; i++) {
        fv_threads_set(threads[i]);
        cr_assert_eq(fv_threads(), threads[i]);
        check_each_once(0);
        check_each_once(1);
        check_each_once(2);
        check_each_once(TASKS);
        cr_assert_eq(omp_get_max_threads(), threads[i], "the budget is restored");
    }
}

Test(core_parallel, budget_is_clamped) {
    fv_threads_set(0);
    cr_assert_eq(fv_threads(), fv_threads_available());
    fv_threads_set(FV_MAX_THREADS + 7);
    cr_assert_eq(fv_threads(), FV_MAX_THREADS);
    fv_threads_set(-3);
    cr_assert_eq(fv_threads(), fv_threads_available());
    cr_assert_geq(fv_threads_available(), 1);
}

/* Two tasks that wait for each other end only if they run at the same time. */
static void meet(int64_t task, void *arg) {
    atomic_int *here = arg;
    (void)task;
    (*here)++;
    while (*here < 2) {
    }
}

Test(core_parallel, tasks_run_at_the_same_time, .timeout = 60) {
    atomic_int here = 0;
    fv_threads_set(2);
    fv_parallel(2, meet, &here);
    cr_assert_eq(here, 2);
}

typedef struct nest {
    atomic_int inner, moved;
    int outer_index[8];
} nest;

static void inner_task(int64_t task, void *arg) {
    nest *n = arg;
    (void)task;
    n->inner++;
}

static void outer_task(int64_t task, void *arg) {
    nest *n = arg;
    const int index = fv_thread_index();
    const pthread_t self = pthread_self();

    fv_parallel(10, inner_task, n);
    if (!pthread_equal(self, pthread_self()) || fv_thread_index() != index) n->moved++;
    n->outer_index[task] = index;
}

Test(core_parallel, nested_use_runs_serially) {
    for (int threads = 1; threads <= 3; threads++) {
        nest n = {0};
        fv_threads_set(threads);
        fv_parallel(8, outer_task, &n);
        cr_assert_eq(n.inner, 80);
        cr_assert_eq(n.moved, 0);
    }
}

static void use_scratch(int64_t task, void *arg) {
    atomic_int *bad = arg;
    const size_t bytes = 1000 + (size_t)(task % 7) * 30000;
    unsigned char *p = fv_scratch(bytes);

    if (!p || (uintptr_t)p % FV_ALIGN) {
        (*bad)++;
        return;
    }
    memset(p, (int)task, bytes);
    for (size_t i = 0; i < bytes; i++)
        if (p[i] != (unsigned char)task) (*bad)++;
}

typedef struct observed {
    int regions;
    int64_t tasks;
    double work, wall;
} observed;

static void observe(void *user, int64_t n_tasks, const double seconds[], double wall) {
    observed *o = user;

    o->regions++;
    o->tasks += n_tasks;
    for (int64_t i = 0; i < n_tasks; i++) {
        cr_assert(seconds[i] >= 0.0 && seconds[i] <= wall, "task %d", (int)i);
        o->work += seconds[i];
    }
    o->wall += wall;
}

static void wait_or_nest(int64_t task, void *arg) {
    if (arg) fv_parallel(3, wait_or_nest, NULL);
    if (task == 0) usleep(2000);
}

Test(core_parallel, an_observer_sees_tasks_and_regions) {
    observed o = {0};

    fv_threads_set(2);
    fv_parallel_observe(observe, &o);
    check_each_once(100);
    fv_parallel(0, note, NULL);
    fv_parallel(2, wait_or_nest, &o); /* three of the tasks within wait, and one itself */
    fv_parallel_observe(NULL, NULL);
    check_each_once(10);
    cr_assert_eq(o.regions, 2);
    cr_assert_eq(o.tasks, 102);
    cr_assert(o.work >= 0.006 && o.work <= 2.0 * o.wall, "%g of %g", o.work, o.wall);
}

Test(core_parallel, reserved_scratch_allocates_nothing_in_tasks) {
    atomic_int bad = 0;

    fv_threads_set(4);
    cr_assert_eq(fv_scratch_reserve(200000), FV_OK);
    const uint64_t calls = fv_alloc_calls();
    for (int i = 0; i < 20; i++) fv_parallel(200, use_scratch, &bad);
    cr_assert_eq(bad, 0);
    cr_assert_eq(fv_alloc_calls(), calls);
    fv_scratch_release();
}

Test(core_parallel, scratch_grows_and_survives_release) {
    cr_assert_not_null(fv_scratch(0));
    unsigned char *small = fv_scratch(10);
    cr_assert_eq(fv_scratch(20), small, "the same buffer while it is large enough");
    unsigned char *large = fv_scratch(1 << 20);
    cr_assert_not_null(large);
    large[(1 << 20) - 1] = 1;
    fv_scratch_release();
    cr_assert_not_null(fv_scratch(100));
    fv_scratch_release();
}

static void *thread_body(void *arg) {
    unsigned char *p = fv_scratch(5000);
    (void)arg;
    if (p) memset(p, 3, 5000);
    return p;
}

Test(core_parallel, a_thread_takes_its_scratch_with_it) {
    unsigned char *mine = fv_scratch(5000);
    memset(mine, 1, 5000);
    for (int i = 0; i < 3; i++) {
        pthread_t thread;
        void *theirs = NULL;
        cr_assert_eq(pthread_create(&thread, NULL, thread_body, NULL), 0);
        pthread_join(thread, &theirs);
        cr_assert_not_null(theirs);
        cr_assert_neq(theirs, (void *)mine);
    }
    cr_assert_eq(mine[4999], 1);
    fv_scratch_release();
}

Test(core_parallel, failed_allocation_is_reported) {
    fv_threads_set(3);
    for (uint64_t n = 1; n <= 3; n++) {
        fv_scratch_release();
        fv_alloc_fail_at(n);
        cr_assert_eq(fv_scratch_reserve(1 << 20), FV_ERR_NOMEM, "allocation %d", (int)n);
        fv_alloc_fail_at(0);
        cr_assert_eq(fv_scratch_reserve(1 << 20), FV_OK);
    }
    fv_alloc_fail_at(1);
    cr_assert_null(fv_scratch(1 << 24));
    fv_alloc_fail_at(0);
    fv_scratch_release();
}
