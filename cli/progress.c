#include "cli/progress.h"

#include "cli/interrupt.h"
#include "cli/print.h"
#include "core/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define BAR_CELLS 20

void fv_progress_init(fv_progress *p, const char *color) {
    const char *term = getenv("TERM");

    *p = (fv_progress){.colored = fv_print_colored(color)};
    p->bar = isatty(STDERR_FILENO) && term && strcmp(term, "dumb") != 0;
}

static int percent(double part, double whole) { return whole > 0 ? (int)(100 * part / whole) : 0; }

/* Behind the counter: note, step time, rate, share of waiting for data, remaining time. */
static void rates(const fv_report_step *s, char *text, size_t n_bytes) {
    const double per_step = s->done > 0 ? s->seconds / (double)s->done : 0;
    const double rate = s->seconds > 0 ? (double)s->images / s->seconds : 0;
    int n = snprintf(text, n_bytes, "%s%sTime: %.3fs, %.1f/s  Data: %d%%", s->note ? s->note : "",
                     s->note ? "  " : "", per_step, rate, percent(s->data_wait, s->seconds));

    if (s->total <= s->done || n < 0 || (size_t)n >= n_bytes) return;
    const int64_t left = (int64_t)(per_step * (double)(s->total - s->done));
    snprintf(text + n, n_bytes - (size_t)n, "  ETA: %d:%02d:%02d", (int)(left / 3600),
             (int)(left / 60 % 60), (int)(left % 60));
}

void fv_progress_text(const fv_report_step *step, char *text, size_t n_bytes) {
    char tail[512], counter[64];

    rates(step, tail, sizeof tail);
    if (step->total > 0) {
        const int width = snprintf(NULL, 0, "%lld", (long long)step->total);
        snprintf(counter, sizeof counter, "%*lld/%lld (%3d%%)", width, (long long)step->done,
                 (long long)step->total, percent((double)step->done, (double)step->total));
    } else {
        snprintf(counter, sizeof counter, "%lld", (long long)step->done);
    }
    snprintf(text, n_bytes, "%s [%s]  %s", step->label, counter, tail);
}

static void bar_text(const fv_report_step *step, char *text, size_t n_bytes) {
    char tail[512], cells[BAR_CELLS + 1];

    rates(step, tail, sizeof tail);
    const int filled = step->total > 0 ? (int)(BAR_CELLS * step->done / step->total) : 0;
    for (int i = 0; i < BAR_CELLS; i++) cells[i] = i < filled ? '#' : '.';
    cells[BAR_CELLS] = '\0';
    snprintf(text, n_bytes, "%s [%s] %lld/%lld  %s", step->label, cells, (long long)step->done,
             (long long)step->total, tail);
}

static int columns(void) {
    struct winsize size = {0};
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1 ? size.ws_col : 80;
}

static void clear(fv_progress *p) {
    if (p->shown) fputs("\r\033[K", stderr);
    p->shown = false;
}

void fv_progress_step(fv_progress *p, const fv_report_step *step) {
    char text[1024];

    if (!p->bar) {
        if (!step->due) return;
        fv_progress_text(step, text, sizeof text);
        fprintf(stderr, "%s\n", text);
        return;
    }
    const double time = fv_clock_seconds();
    if (p->shown && time - p->drawn < 0.1 && step->done < step->total) return;
    bar_text(step, text, sizeof text);
    fprintf(stderr, "\r%.*s\033[K", columns() - 1, text);
    fflush(stderr);
    p->shown = true;
    p->drawn = time;
}

void fv_progress_line(fv_progress *p, fv_report_level level, const char *text) {
    clear(p);
    fv_print_message(level, text, p->colored);
}

void fv_progress_end(fv_progress *p) { clear(p); }

static void on_line(void *user, fv_report_level level, const char *text) {
    fv_progress_line(user, level, text);
}

static void on_step(void *user, const fv_report_step *step) { fv_progress_step(user, step); }

fv_report fv_progress_report(fv_progress *p) {
    return (fv_report){.user = p, .line = on_line, .step = on_step, .stop = fv_interrupt_stop};
}
