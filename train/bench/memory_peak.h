/* memory_peak.h - the rate at which this machine reads and writes memory now: STREAM's triad (McCalpin 1995),
 * a = b + s c over arrays that no cache holds, cut into tasks over the thread budget. */
#ifndef FV_TRAIN_BENCH_MEMORY_PEAK_H
#define FV_TRAIN_BENCH_MEMORY_PEAK_H

#include "core/status.h"

/* Best of a few runs in 1e9 bytes per second, three arrays counted.  FV_ERR_NOMEM. */
fv_status fv_memory_peak(double *gbytes);

#endif
