#include "core/backend/lanes.h"

#include <sched.h>
#include <stdbool.h>

static bool try_take(fv_lane *lane) {
    return !atomic_flag_test_and_set_explicit(&lane->busy, memory_order_acquire);
}

void fv_lane_take(fv_lane *lane) {
    while (!try_take(lane)) sched_yield();
}

fv_lane *fv_lane_find(fv_lane *lanes, int n) {
    const int first = fv_thread_index();

    for (int i = 0; i < n; i++) {
        fv_lane *lane = &lanes[(first + i) % n];
        if (try_take(lane)) return lane;
    }
    return NULL;
}

void fv_lane_give(fv_lane *lane) { atomic_flag_clear_explicit(&lane->busy, memory_order_release); }

fv_status fv_lane_reserve(fv_lane *lane, size_t bytes) {
    if (bytes <= lane->scratch_bytes) return FV_OK;
    void *scratch = fv_alloc(bytes, 1);
    if (!scratch) return FV_ERR_NOMEM;
    fv_free(lane->scratch);
    lane->scratch = scratch;
    lane->scratch_bytes = bytes;
    return FV_OK;
}

void fv_lane_free_scratch(fv_lane *lane) {
    fv_free(lane->scratch);
    lane->scratch = NULL;
    lane->scratch_bytes = 0;
}

fv_status fv_lanes_equip(fv_lane *lanes, int *n, size_t bytes) {
    for (; *n < fv_threads(); ++*n) {
        fv_lane *lane = &lanes[*n];
        fv_lane_take(lane);
        const fv_status status = fv_lane_reserve(lane, bytes);
        fv_lane_give(lane);
        if (status != FV_OK) return status;
    }
    return FV_OK;
}

void fv_lanes_release(fv_lane *lanes) {
    for (int i = 0; i < FV_MAX_THREADS; i++) fv_lane_free_scratch(&lanes[i]);
}

void *fv_lanes_borrow(fv_lane *lanes, int n, size_t bytes, fv_loan *loan) {
    *loan = (fv_loan){.lane = fv_lane_find(lanes, n)};
    if (!loan->lane) loan->own = fv_alloc(bytes, 1);
    void *scratch = loan->lane ? loan->lane->scratch : loan->own;
    if (!scratch && loan->lane) fv_lane_give(loan->lane);
    return scratch;
}

void fv_lanes_return(const fv_loan *loan) {
    if (loan->lane) fv_lane_give(loan->lane);
    fv_free(loan->own);
}
