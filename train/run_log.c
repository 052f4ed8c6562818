#include "train/run_log.h"

#include "core/file.h"
#include "core/text.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEADER      "epoch,train_loss,eval_loss,eval_top1,eval_top5,lr,grad_norm"
#define HEADER_EMA  ",eval_ema_loss,eval_ema_top1,eval_ema_top5"
#define HEADER_TIME ",time_epoch_s,perf_images_per_second\n"

/* Wide enough for eleven days. */
#define SECONDS "%12.3f"
#define RATE    "%12.2f"

static fv_status file_error(const fv_run_log *log, const char *verb, const char *name) {
    return FV_FAIL(FV_ERR_IO, "%s/%s: cannot %s: %s", log->run, name, verb, strerror(errno));
}

static fv_status append(const fv_run_log *log, int fd, const char *name, fv_text *line,
                        int64_t *n_bytes) {
    const char *p = line->data;
    size_t left = line->bytes;
    fv_status status =
        line->failed ? FV_FAIL(FV_ERR_NOMEM, "%s: no memory for a line", name) : FV_OK;

    while (status == FV_OK && left > 0) {
        const ssize_t n = write(fd, p, left);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) {
            status = file_error(log, "write", name);
            break;
        }
        p += n;
        left -= (size_t)n;
    }
    if (status == FV_OK) *n_bytes += (int64_t)line->bytes;
    fv_text_free(line);
    return status;
}

static fv_status open_at(const fv_run_log *log, const char *name, int64_t n_bytes, int *fd) {
    char path[4096];
    struct stat info;

    if (snprintf(path, sizeof path, "%s/%s", log->run, name) >= (int)sizeof path)
        return FV_FAIL(FV_ERR_IO, "%s: the path is too long", log->run);
    *fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    if (*fd < 0) return file_error(log, "open", name);
    if (fstat(*fd, &info) != 0) return file_error(log, "read", name);
    if (info.st_size < n_bytes)
        return FV_FAIL(FV_ERR_FORMAT, "%s has %lld bytes, the checkpoint knows of %lld", path,
                       (long long)info.st_size, (long long)n_bytes);
    if (ftruncate(*fd, n_bytes) != 0 || lseek(*fd, n_bytes, SEEK_SET) < 0)
        return file_error(log, "truncate", name);
    return FV_OK;
}

fv_status fv_run_log_open(const fv_run_log_start *start, fv_run_log *out) {
    *out = (fv_run_log){.summary = -1,
                        .log = -1,
                        .run = start->run,
                        .ema = start->ema,
                        .summary_bytes = start->summary_bytes,
                        .log_bytes = start->log_bytes};
    fv_status status = open_at(out, FV_RUN_SUMMARY, start->summary_bytes, &out->summary);
    if (status == FV_OK) status = open_at(out, FV_RUN_LOG, start->log_bytes, &out->log);
    if (status == FV_OK && start->summary_bytes == 0) {
        fv_text header = {0};
        fv_text_printf(&header, HEADER "%s" HEADER_TIME, start->ema ? HEADER_EMA : "");
        status = append(out, out->summary, FV_RUN_SUMMARY, &header, &out->summary_bytes);
    }
    if (status != FV_OK) fv_run_log_close(out);
    return status;
}

void fv_run_log_close(fv_run_log *log) {
    if (log->summary >= 0) close(log->summary);
    if (log->log >= 0) close(log->log);
    log->summary = log->log = -1;
}

static void real(fv_text *t, double v, const char *not_finite) {
    if (isfinite(v))
        fv_text_real(t, v);
    else
        fv_text_append(t, not_finite);
}

static void pair(fv_text *t, const char *key, double v) {
    fv_text_printf(t, "\"%s\": ", key);
    real(t, v, "null");
    fv_text_append(t, ", ");
}

/* Three columns, empty when there are no values. */
static void columns(fv_text *t, bool there, const double v[3]) {
    for (int i = 0; i < 3; i++) {
        fv_text_append(t, ",");
        if (there) real(t, v[i], "nan");
    }
}

static void row(fv_text *t, const fv_epoch_record *r, bool ema, const fv_run_times *times) {
    fv_text_printf(t, "%" PRId64 ",", r->epoch);
    real(t, r->train_loss, "nan");
    columns(t, r->evaluated, (const double[]){r->eval_loss, r->eval_top1, r->eval_top5});
    fv_text_append(t, ",");
    real(t, r->lr, "nan");
    fv_text_append(t, ",");
    real(t, r->grad_norm, "nan");
    if (ema) columns(t, r->averaged, (const double[]){r->ema_loss, r->ema_top1, r->ema_top5});
    fv_text_printf(t, "," SECONDS "," RATE "\n", times->seconds, times->images_per_second);
}

static void close_object(fv_text *t, const fv_run_times *times) {
    fv_text_printf(t,
                   "\"time_s\": " SECONDS ", \"time_data_s\": " SECONDS
                   ", \"perf_images_per_second\": " RATE "}\n",
                   times->seconds, times->data_wait, times->images_per_second);
}

fv_status fv_run_log_epoch(fv_run_log *log, const fv_epoch_record *r, int64_t n_parameters,
                           const fv_run_times *times) {
    fv_text line = {0};

    row(&line, r, log->ema, times);
    FV_TRY(append(log, log->summary, FV_RUN_SUMMARY, &line, &log->summary_bytes));
    fv_text_printf(&line, "{\"kind\": \"epoch\", \"epoch\": %" PRId64 ", \"step\": %" PRId64 ", ",
                   r->epoch, r->step);
    pair(&line, "train_loss", r->train_loss);
    pair(&line, "train_lr", r->lr);
    if (r->evaluated) {
        pair(&line, "test_loss", r->eval_loss);
        pair(&line, "test_acc1", r->eval_top1);
        pair(&line, "test_acc5", r->eval_top5);
    }
    if (r->averaged) {
        pair(&line, "test_ema_loss", r->ema_loss);
        pair(&line, "test_ema_acc1", r->ema_top1);
        pair(&line, "test_ema_acc5", r->ema_top5);
    }
    fv_text_printf(&line, "\"n_parameters\": %" PRId64 ", ", n_parameters);
    close_object(&line, times);
    return append(log, log->log, FV_RUN_LOG, &line, &log->log_bytes);
}

fv_status fv_run_log_interval(fv_run_log *log, const fv_run_state *s, const fv_run_times *times) {
    fv_text line = {0};
    const double n = (double)(s->interval.updates > 0 ? s->interval.updates : 1);

    fv_text_printf(&line, "{\"kind\": \"train\", \"epoch\": %" PRId64 ", \"step\": %" PRId64 ", ",
                   s->epoch, s->step);
    pair(&line, "loss", s->interval.loss_sum / n);
    pair(&line, "lr", s->lr);
    pair(&line, "grad_norm", s->interval.grad_norm_sum / n);
    close_object(&line, times);
    return append(log, log->log, FV_RUN_LOG, &line, &log->log_bytes);
}

fv_status fv_run_log_sync(const fv_run_log *log) {
    if (fsync(log->summary) != 0) return file_error(log, "sync", FV_RUN_SUMMARY);
    if (fsync(log->log) != 0) return file_error(log, "sync", FV_RUN_LOG);
    return FV_OK;
}
