#include "core/report.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

__attribute__((format(printf, 3, 0))) static void
say(const fv_report *report, fv_report_level level, const char *format, va_list args) {
    char text[1001];

    if (!report || !report->line) return;
    vsnprintf(text, sizeof text, format, args);
    report->line(report->user, level, text);
}

void fv_report_info(const fv_report *report, const char *format, ...) {
    va_list args;

    va_start(args, format);
    say(report, FV_REPORT_INFO, format, args);
    va_end(args);
}

void fv_report_warning(const fv_report *report, const char *format, ...) {
    va_list args;

    va_start(args, format);
    say(report, FV_REPORT_WARNING, format, args);
    va_end(args);
}

void fv_report_progress(const fv_report *report, const fv_report_step *step) {
    if (report && report->step) report->step(report->user, step);
}

bool fv_report_stop(const fv_report *report) {
    return report && report->stop && report->stop(report->user);
}
