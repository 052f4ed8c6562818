/* faithful_log.h - the numbers of every image as lines of JSON, so that a run can go on where it stopped.
 *
 * The first line is the question: weights, methods, metrics, settings, data, class.  Then comes a line per
 * image, {"image": name, "values": [methods * values]}, written as it is known; NaN is null. */
#ifndef FV_EVAL_SALIENCY_FAITHFUL_LOG_H
#define FV_EVAL_SALIENCY_FAITHFUL_LOG_H

#include "eval/saliency/faithful.h"

typedef struct fv_faithful_log fv_faithful_log;

typedef struct fv_faithful_log_question {
    const fv_faithful *question;
    const char *data, *split; /* as given */
    int64_t target;           /* a class, or what stands for one */
} fv_faithful_log_question;

/* Begins a new file, or with resume reads what is there and goes on behind its last whole line; a file of
 * another question is FV_ERR_CONFIG then.  The caller closes *out.  Errors: FV_ERR_IO, FV_ERR_FORMAT
 * (a line that is no line of ours), FV_ERR_NOMEM. */
fv_status fv_faithful_log_open(const char *path, const fv_faithful_log_question *question,
                               bool resume, fv_faithful_log **out);
void fv_faithful_log_close(fv_faithful_log *log); /* NULL is fine */

/* Whether the image was there when the file was opened; its numbers into values. */
bool fv_faithful_log_find(const fv_faithful_log *log, const char *image, double *values);

/* Appends a line and flushes it.  FV_ERR_IO, FV_ERR_NOMEM. */
fv_status fv_faithful_log_add(fv_faithful_log *log, const char *image, const double *values);

#endif
