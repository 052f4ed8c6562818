/* parallel.h - the thread budget and the one way to use it.
 *
 * Work is cut into numbered tasks on a grid that depends on shapes only; a task writes only what is
 * its own, so results do not depend on the number of threads or on which thread runs what. */
#ifndef FV_CORE_PARALLEL_H
#define FV_CORE_PARALLEL_H

#include "core/status.h"

#include <stddef.h>
#include <stdint.h>

#define FV_MAX_THREADS 256

/* Cores allowed by affinity and by the cgroup's CPU quota, at least 1. */
int fv_threads_available(void);

/* Sets the budget of compute threads (1..FV_MAX_THREADS; 0 = fv_threads_available()). */
void fv_threads_set(int n);
int fv_threads(void);

/* Threads that regions are cut for where the cut moves no bit: fv_threads(), or, for calculations, the number
 * that was assumed last (0: none). */
int fv_parallel_width(void);
void fv_parallel_assume(int n);

/* 0 .. fv_threads()-1 inside a task, 0 outside. */
int fv_thread_index(void);

typedef void fv_task_fn(int64_t task, void *arg);

/* Runs fn(0..n_tasks-1, arg), dynamically scheduled over the thread budget. */
void fv_parallel(int64_t n_tasks, fv_task_fn *fn, void *arg);

/* Is told about every fv_parallel that is not within another one: how long each task took, and the whole.  For
 * measurements; NULL: nobody is.  Not while tasks run.  Without memory for the times a region is left out. */
typedef void fv_parallel_observer(void *user, int64_t n_tasks, const double seconds[], double wall);
void fv_parallel_observe(fv_parallel_observer *observer, void *user);

/* Scratch of the calling thread, at least bytes long, FV_ALIGN aligned; contents undefined, valid
 * until the thread's next call.  Never fails inside a task for sizes given to fv_scratch_reserve
 * before: reserve for all threads first, outside of parallel code. */
void *fv_scratch(size_t bytes);
fv_status fv_scratch_reserve(size_t bytes);
void fv_scratch_release(void); /* frees every thread's scratch (end of program, tests) */

#endif
