/* schedule.h - the learning rate as a pure function of time: linear warm-up, then cosine cycles
 * (Loshchilov and Hutter 2017, "SGDR"), with timm's parameters and numbers.
 *
 * Time t counts epochs or updates; nothing is remembered between calls, so resuming needs no state. */
#ifndef FV_TRAIN_SCHEDULE_H
#define FV_TRAIN_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

typedef struct fv_schedule {
    double base_lr;        /* peak of the first cycle */
    double lr_min;         /* bottom of every cycle, and the rate after the last */
    double warmup_lr_init; /* rate at t = 0 when there is a warm-up */
    double cycle_mul;      /* length of a cycle over that of the one before; 0 stands for 1 */
    double cycle_decay;    /* peak of a cycle over that of the one before */
    int64_t t_initial;     /* length of the first cycle, >= 1 */
    int64_t warmup_t;      /* length of the warm-up */
    int64_t cycle_limit;   /* cycles; afterwards lr_min */
    bool warmup_prefix;    /* the first cycle starts after the warm-up; otherwise the warm-up covers
                              its beginning and the cosine is cut into at t = warmup_t */
} fv_schedule;

/* The rate at time t >= 0. */
double fv_schedule_lr(const fv_schedule *schedule, int64_t t);

/* Time until the last cycle ends, the warm-up included when it comes before. */
int64_t fv_schedule_length(const fv_schedule *schedule);

#endif
