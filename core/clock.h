/* clock.h - wall time for reports and benchmarks; no result depends on it. */
#ifndef FV_CORE_CLOCK_H
#define FV_CORE_CLOCK_H

/* Seconds since a fixed moment in the past; never goes back. */
double fv_clock_seconds(void);

#endif
