#include "core/clock.h"

#include <criterion/criterion.h>

#include <time.h>

/* Seconds, and always forward: a sleep of 20 ms is at least that long by this clock. */
Test(core_clock, counts_seconds) {
    const double before = fv_clock_seconds();
    nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    cr_expect_geq(fv_clock_seconds() - before, 0.02);
    cr_expect_lt(fv_clock_seconds() - before, 600.0);
}
