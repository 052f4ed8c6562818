/* progress.h - shows a long run on stderr: a bar on a terminal, plain lines elsewhere.
 *
 *     fv_progress progress;
 *     fv_progress_init(&progress, settings->color);
 *     const fv_report report = fv_progress_report(&progress);
 *     status = fv_train(..., &report);
 *     fv_progress_end(&progress);
 */
#ifndef FV_CLI_PROGRESS_H
#define FV_CLI_PROGRESS_H

#include "core/report.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct fv_progress {
    bool bar, colored;
    bool shown;   /* a bar stands on the current line */
    double drawn; /* when, in seconds of the monotonic clock */
} fv_progress;

void fv_progress_init(fv_progress *p, const char *color);

/* Functions that feed p; stop asks fv_interrupt_stop.  Valid as long as p. */
fv_report fv_progress_report(fv_progress *p);

/* One step: redraws the bar (at most ten times a second), or writes a line when step->due. */
void fv_progress_step(fv_progress *p, const fv_report_step *step);

/* A line of its own, the bar moves below it. */
void fv_progress_line(fv_progress *p, fv_report_level level, const char *text);

void fv_progress_end(fv_progress *p); /* removes the bar */

/* "Train: 3 [  50/1251 (  4%)]  Loss: ...  Time: 0.123s, 812.3/s  Data: 2%  ETA: 0:12:34" */
void fv_progress_text(const fv_report_step *step, char *text, size_t n_bytes);

#endif
