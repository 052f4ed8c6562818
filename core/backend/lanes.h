/* lanes.h - what one thread needs to run a plan: scratch of its own and a stream.
 *
 * Who needs lanes has FV_MAX_THREADS of them.  A lane is taken by one caller at a time, normally the
 * one of the thread's index; a thread outside of the team finds another, or works with a lane of its
 * own if all are taken. */
#ifndef FV_CORE_LANES_H
#define FV_CORE_LANES_H

#include "core/alloc.h"
#include "core/parallel.h"

#include <stdatomic.h>

typedef struct fv_lane {
    _Alignas(FV_ALIGN) atomic_flag busy; /* a cache line each */
    void *stream;                        /* the library's; its owner ends it */
    void *scratch;
    size_t scratch_bytes;
} fv_lane;

/* Waits for the lane. */
void fv_lane_take(fv_lane *lane);
/* The calling thread's lane or the next free one of the first n; NULL when all are taken. */
fv_lane *fv_lane_find(fv_lane *lanes, int n);
void fv_lane_give(fv_lane *lane);

/* At least bytes of scratch; contents are lost. */
fv_status fv_lane_reserve(fv_lane *lane, size_t bytes);
void fv_lane_free_scratch(fv_lane *lane);

/* So much for a lane of every thread of the budget, of which a plan's *n have it already; allocates when the
 * budget has grown only.  Not thread-safe. */
fv_status fv_lanes_equip(fv_lane *lanes, int *n, size_t bytes);
/* Frees the scratch of all; no plan may be left. */
void fv_lanes_release(fv_lane *lanes);

/* Scratch of a lane, or of one's own where all are taken. */
typedef struct fv_loan {
    fv_lane *lane;
    void *own;
} fv_loan;

/* From the first n.  NULL: memory has run out, nothing is to be returned. */
void *fv_lanes_borrow(fv_lane *lanes, int n, size_t bytes, fv_loan *loan);
void fv_lanes_return(const fv_loan *loan);

#endif
