/* run_log.h - the two growing files of a run: summary.csv, a row per epoch, and log.jsonl, an object
 * per log interval and per epoch.
 *
 * Their lengths are part of a checkpoint: resuming cuts them back to it, so that lines written after
 * the checkpoint are written again, not twice.  Wall times (columns and keys time_*, perf_*) have a
 * fixed width, so that lengths do not depend on the machine. */
#ifndef FV_TRAIN_RUN_LOG_H
#define FV_TRAIN_RUN_LOG_H

#include "train/run_state.h"

#define FV_RUN_SUMMARY "summary.csv"
#define FV_RUN_LOG     "log.jsonl"

typedef struct fv_run_log {
    int summary, log; /* file descriptors, -1 = closed */
    const char *run;  /* folder, borrowed */
    bool ema;         /* rows have columns of the averaged weights */
    int64_t summary_bytes, log_bytes;
} fv_run_log;

typedef struct fv_run_times {
    double seconds;   /* of what the line is about, in this process */
    double data_wait; /* of these, waiting for images */
    double images_per_second;
} fv_run_times;

/* Opens both files of the folder run, cut to the given lengths; an empty summary gets its header, with
 * eval_ema_* columns when ema is set.  FV_ERR_IO, or FV_ERR_FORMAT when a file is shorter than its
 * checkpoint says. */
typedef struct fv_run_log_start {
    const char *run; /* outlives the log */
    int64_t summary_bytes, log_bytes;
    bool ema;
} fv_run_log_start;
fv_status fv_run_log_open(const fv_run_log_start *start, fv_run_log *out);
void fv_run_log_close(fv_run_log *log); /* a zeroed struct is not open: set summary, log to -1 */

/* One row of the summary and one line of the log. */
fv_status fv_run_log_epoch(fv_run_log *log, const fv_epoch_record *record, int64_t n_parameters,
                           const fv_run_times *times);

/* The means since the last line. */
fv_status fv_run_log_interval(fv_run_log *log, const fv_run_state *state,
                              const fv_run_times *times);

/* What was written is on the disk. */
fv_status fv_run_log_sync(const fv_run_log *log);

#endif
