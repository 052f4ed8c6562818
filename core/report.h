/* report.h - how library code that runs for long speaks to its caller, and asks whether to go on.
 *
 * The library prints nothing.  A function that trains or evaluates takes an fv_report (NULL = silent)
 * and calls it from the thread it was called on, never from inside parallel tasks. */
#ifndef FV_CORE_REPORT_H
#define FV_CORE_REPORT_H

#include <stdbool.h>
#include <stdint.h>

typedef enum fv_report_level { FV_REPORT_INFO, FV_REPORT_WARNING } fv_report_level;

/* Where a loop stands; seconds are wall time since the loop began. */
typedef struct fv_report_step {
    const char *label;   /* "Train: 3", "Test" */
    int64_t done, total; /* steps; total 0 = unknown */
    int64_t images;      /* processed so far in this loop */
    double seconds;      /* since the loop began */
    double data_wait;    /* of these, spent waiting for data */
    const char *note;    /* "Loss: 2.302 (2.310)  LR: 1.0e-03", may be NULL */
    bool due;            /* the log interval is over: worth a line of its own */
} fv_report_step;

typedef struct fv_report {
    void *user;
    void (*line)(void *user, fv_report_level level, const char *text); /* one line, no newline */
    void (*step)(void *user, const fv_report_step *step);
    bool (*stop)(void *user); /* true: finish the step, save, return FV_ERR_INTERRUPTED */
} fv_report;

/* Each does nothing when report or its function is NULL.  Lines are cut at 1000 bytes. */
void fv_report_info(const fv_report *report, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void fv_report_warning(const fv_report *report, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void fv_report_progress(const fv_report *report, const fv_report_step *step);
bool fv_report_stop(const fv_report *report);

#endif
