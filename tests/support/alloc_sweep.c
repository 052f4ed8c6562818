#include "tests/support/alloc_sweep.h"

#include "core/alloc.h"

#include <string.h>

/* There when the program is built with AddressSanitizer; 1 after reporting leaks. */
int __lsan_do_recoverable_leak_check(void) __attribute__((weak));

/* Overwrites the part of the stack that the work has used, so that no stale copy of a pointer hides a
 * leak. */
static __attribute__((noinline)) void wipe_stack(void) {
    char waste[16384];
    memset(waste, 0, sizeof waste);
    __asm__ volatile("" : : "r"(waste) : "memory");
}

fv_status alloc_sweep(alloc_sweep_fn *work, void *arg, alloc_sweep_result *result) {
    alloc_sweep_result r = {0};
    fv_status status = FV_OK;

    for (uint64_t n = 1; status == FV_OK; n++) {
        const uint64_t before = fv_alloc_calls();
        fv_error_clear();
        fv_alloc_fail_at(n);
        const fv_status outcome = work(arg);
        fv_alloc_fail_at(0);
        const int failed = fv_alloc_calls() - before >= n;
        r.failures += failed;
        r.tolerated += failed && outcome == FV_OK;
        if (outcome != FV_OK && !(failed && outcome == FV_ERR_NOMEM))
            status = FV_FAIL(FV_ERR_INTERNAL, "allocation %llu: %s: %s", (unsigned long long)n,
                             fv_status_text(outcome), fv_error_message());
        if (!failed) break;
    }
    wipe_stack();
    if (status == FV_OK && __lsan_do_recoverable_leak_check && __lsan_do_recoverable_leak_check())
        status = FV_FAIL(FV_ERR_INTERNAL, "memory leaked in %llu runs",
                         (unsigned long long)(r.failures + 1));
    if (result) *result = r;
    return status;
}
