#include "train/schedule.h"

#include <math.h>

#define PI 3.14159265358979323846

/* When cycle i starts, for a growth m other than 1: a geometric series. */
static double cycle_start(double t_initial, double m, double i) {
    return t_initial * (pow(m, i) - 1.0) / (m - 1.0);
}

/* The cycle that holds t.  The logarithm may land on the wrong side of a boundary by rounding. */
static double cycle_index(double t, double t_initial, double m) {
    const double reached = 1.0 + t / t_initial * (m - 1.0);
    if (reached <= 0.0) return INFINITY; /* cycles that shrink end before t */
    double i = floor(log(reached) / log(m));
    if (cycle_start(t_initial, m, i + 1.0) <= t) i += 1.0;
    if (cycle_start(t_initial, m, i) > t) i -= 1.0;
    return i;
}

double fv_schedule_lr(const fv_schedule *s, int64_t t) {
    const double m = s->cycle_mul > 0.0 ? s->cycle_mul : 1.0;
    const double t_initial = (double)(s->t_initial > 0 ? s->t_initial : 1);

    if (t < s->warmup_t)
        return s->warmup_lr_init +
               (double)t * ((s->base_lr - s->warmup_lr_init) / (double)s->warmup_t);
    const double time = (double)(s->warmup_prefix ? t - s->warmup_t : t);
    double i, start, length = t_initial;
    if (m == 1.0) {
        i = floor(time / t_initial);
        start = i * t_initial;
    } else {
        i = cycle_index(time, t_initial, m);
        start = cycle_start(t_initial, m, i);
        length = t_initial * pow(m, i);
    }
    if (!(i < (double)s->cycle_limit)) return s->lr_min;
    const double peak = s->base_lr * pow(s->cycle_decay, i);
    return s->lr_min + 0.5 * (peak - s->lr_min) * (1.0 + cos(PI * (time - start) / length));
}

int64_t fv_schedule_length(const fv_schedule *s) {
    const double m = s->cycle_mul > 0.0 ? s->cycle_mul : 1.0;
    const int64_t cycles = s->cycle_limit > 1 ? s->cycle_limit : 1;
    const double length = m == 1.0 ? (double)s->t_initial * (double)cycles
                                   : cycle_start((double)s->t_initial, m, (double)cycles);

    return (int64_t)fmin(floor(length), 9e15) + (s->warmup_prefix ? s->warmup_t : 0);
}
