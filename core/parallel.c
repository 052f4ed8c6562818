#include "core/parallel.h"

#include "core/alloc.h"
#include "core/clock.h"
#include "core/topology.h"

#include <omp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

/* Grows in steps, so that a slowly rising need does not reallocate at every call. */
#define SCRATCH_STEP ((size_t)64 * 1024)

static atomic_int budget;  /* 0 = not chosen yet */
static atomic_int assumed; /* 0 = nothing */
static _Thread_local bool in_task;

int fv_threads_available(void) {
    const int cores = fv_topology_cores(), quota = fv_topology_quota(NULL, NULL);
    const int n = quota > 0 && quota < cores ? quota : cores;
    return n < FV_MAX_THREADS ? n : FV_MAX_THREADS;
}

void fv_threads_set(int n) {
    if (n <= 0) n = fv_threads_available();
    if (n > FV_MAX_THREADS) n = FV_MAX_THREADS;
    atomic_store(&budget, n);
    omp_set_num_threads(n);
}

int fv_threads(void) {
    const int n = atomic_load_explicit(&budget, memory_order_relaxed);
    if (n > 0) return n;
    fv_threads_set(0);
    return atomic_load(&budget);
}

int fv_parallel_width(void) {
    const int n = atomic_load_explicit(&assumed, memory_order_relaxed);
    return n > 0 ? n : fv_threads();
}

void fv_parallel_assume(int n) { atomic_store(&assumed, n); }

int fv_thread_index(void) { return in_task ? omp_get_thread_num() : 0; }

/* A library that looks at OpenMP's thread limit must not start a team of its own here: oneDNN would
 * cut the product by thread count and the bits would depend on it. */
static void run_serially(int64_t n_tasks, fv_task_fn *fn, void *arg) {
    const int limit = omp_get_max_threads();

    omp_set_num_threads(1);
    in_task = true;
    for (int64_t task = 0; task < n_tasks; task++) fn(task, arg);
    in_task = false;
    omp_set_num_threads(limit);
}

/* Outside of tasks. */
static void run(int64_t n_tasks, fv_task_fn *fn, void *arg) {
    const int n_threads = fv_threads();
    if (n_threads == 1 || n_tasks <= 1) {
        run_serially(n_tasks, fn, arg);
        return;
    }
    /* Always the whole team, even for few tasks: libgomp ends the threads a smaller team leaves over
     * and would start new ones for the next region. */
#pragma omp parallel num_threads(n_threads)
    {
        in_task = true;
#pragma omp for schedule(dynamic, 1) nowait
        for (int64_t task = 0; task < n_tasks; task++) fn(task, arg);
        in_task = false;
    }
}

/* ---- observation ---- */

static fv_parallel_observer *observer;
static void *observer_user;

void fv_parallel_observe(fv_parallel_observer *fn, void *user) {
    observer = fn;
    observer_user = user;
}

typedef struct timed {
    fv_task_fn *fn;
    void *arg;
    double *seconds;
} timed;

static void run_timed(int64_t task, void *arg) {
    const timed *t = arg;
    const double start = fv_clock_seconds();

    t->fn(task, t->arg);
    t->seconds[task] = fv_clock_seconds() - start;
}

static void observe(int64_t n_tasks, fv_task_fn *fn, void *arg) {
    timed t = {fn, arg, fv_calloc((size_t)n_tasks, sizeof *t.seconds)};

    if (!t.seconds) {
        run(n_tasks, fn, arg);
        return;
    }
    const double start = fv_clock_seconds();
    run(n_tasks, run_timed, &t);
    observer(observer_user, n_tasks, t.seconds, fv_clock_seconds() - start);
    fv_free(t.seconds);
}

void fv_parallel(int64_t n_tasks, fv_task_fn *fn, void *arg) {
    if (in_task || omp_in_parallel()) {
        for (int64_t task = 0; task < n_tasks; task++) fn(task, arg);
    } else if (observer && n_tasks > 0) {
        observe(n_tasks, fn, arg);
    } else {
        run(n_tasks, fn, arg);
    }
}

/* ---- scratch ---- */

/* One per thread, in thread-local storage, on a list so that one caller can free them all. */
typedef struct scratch {
    struct scratch *next, *previous;
    void *data;
    size_t bytes;
    bool listed;
} scratch;

static _Thread_local scratch own;
static scratch *all;
static atomic_size_t reserved; /* what every thread must have */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_key_t exit_key;
static pthread_once_t exit_once = PTHREAD_ONCE_INIT;
static bool exit_key_made;

static void unlist(void *p) { /* a thread ends */
    scratch *s = p;

    pthread_mutex_lock(&lock);
    if (s->previous)
        s->previous->next = s->next;
    else
        all = s->next;
    if (s->next) s->next->previous = s->previous;
    pthread_mutex_unlock(&lock);
    fv_free(s->data);
    *s = (scratch){0};
}

static void make_exit_key(void) { exit_key_made = pthread_key_create(&exit_key, unlist) == 0; }

/* False when the thread's end could not be noticed: the list would then point into freed storage. */
static bool list_own(void) {
    if (own.listed) return true;
    pthread_once(&exit_once, make_exit_key);
    if (!exit_key_made || pthread_setspecific(exit_key, &own) != 0) return false;
    own.listed = true;
    pthread_mutex_lock(&lock);
    own.next = all;
    if (all) all->previous = &own;
    all = &own;
    pthread_mutex_unlock(&lock);
    return true;
}

void *fv_scratch(size_t bytes) {
    if (bytes <= own.bytes && own.data) return own.data;
    const size_t least = atomic_load(&reserved);
    size_t want = bytes > least ? bytes : least;

    if (want <= SIZE_MAX - SCRATCH_STEP)
        want = (want + SCRATCH_STEP) / SCRATCH_STEP * SCRATCH_STEP; /* never 0 */
    if (!list_own()) return NULL;
    void *data = fv_alloc(want, 1);
    if (!data) return NULL;
    fv_free(own.data); /* contents need not survive */
    own.data = data;
    own.bytes = want;
    return data;
}

fv_status fv_scratch_reserve(size_t bytes) {
    size_t before = atomic_load(&reserved);
    atomic_bool failed = false;

    while (bytes > before && !atomic_compare_exchange_weak(&reserved, &before, bytes)) {
    }
    if (in_task || omp_in_parallel()) return fv_scratch(bytes) ? FV_OK : FV_ERR_NOMEM;
    if (!fv_scratch(bytes)) return FV_ERR_NOMEM;
    const int n_threads = fv_threads();
    if (n_threads > 1) {
#pragma omp parallel num_threads(n_threads)
        if (!fv_scratch(bytes)) atomic_store(&failed, true);
    }
    /* The message of another thread is out of reach. */
    return failed ? FV_FAIL(FV_ERR_NOMEM, "cannot reserve %zu bytes per thread", bytes) : FV_OK;
}

void fv_scratch_release(void) {
    pthread_mutex_lock(&lock);
    for (scratch *s = all; s; s = s->next) {
        fv_free(s->data);
        s->data = NULL;
        s->bytes = 0;
    }
    pthread_mutex_unlock(&lock);
    atomic_store(&reserved, 0);
}
