#include "train/schedule.h"

#include <criterion/criterion.h>
#include <math.h>

#define PI 3.14159265358979323846

static const fv_schedule plain = {.base_lr = 1e-3,
                                  .lr_min = 1e-5,
                                  .warmup_lr_init = 1e-6,
                                  .t_initial = 100,
                                  .warmup_t = 10,
                                  .cycle_limit = 1,
                                  .cycle_decay = 0.5};

static void near(double a, double b) {
    cr_assert(fabs(a - b) <= 1e-12, "%.17g is not %.17g", a, b);
}

static double cosine(double low, double high, double t, double length) {
    return low + 0.5 * (high - low) * (1.0 + cos(PI * t / length));
}

Test(train_schedule, warms_up_linearly_and_cuts_into_the_cosine) {
    near(fv_schedule_lr(&plain, 0), 1e-6);
    near(fv_schedule_lr(&plain, 5), 1e-6 + 5.0 * (1e-3 - 1e-6) / 10.0);
    near(fv_schedule_lr(&plain, 10), cosine(1e-5, 1e-3, 10.0, 100.0));
    near(fv_schedule_lr(&plain, 99), cosine(1e-5, 1e-3, 99.0, 100.0));
    near(fv_schedule_lr(&plain, 100), 1e-5);
    near(fv_schedule_lr(&plain, 1000), 1e-5);
    cr_assert_eq(fv_schedule_length(&plain), 100);
}

Test(train_schedule, prefix_puts_the_warm_up_before_the_cosine) {
    fv_schedule s = plain;
    s.warmup_prefix = true;
    near(fv_schedule_lr(&s, 9), 1e-6 + 9.0 * (1e-3 - 1e-6) / 10.0);
    near(fv_schedule_lr(&s, 10), 1e-3);
    near(fv_schedule_lr(&s, 60), cosine(1e-5, 1e-3, 50.0, 100.0));
    near(fv_schedule_lr(&s, 110), 1e-5);
    cr_assert_eq(fv_schedule_length(&s), 110);
}

Test(train_schedule, starts_at_the_peak_without_a_warm_up) {
    fv_schedule s = plain;
    s.warmup_t = 0;
    near(fv_schedule_lr(&s, 0), 1e-3);
}

Test(train_schedule, cycles_grow_and_decay) {
    const fv_schedule s = {.base_lr = 1e-3,
                           .lr_min = 1e-5,
                           .warmup_lr_init = 1e-5,
                           .t_initial = 20,
                           .warmup_t = 4,
                           .cycle_limit = 3,
                           .cycle_mul = 2.0,
                           .cycle_decay = 0.5};
    near(fv_schedule_lr(&s, 19), cosine(1e-5, 1e-3, 19.0, 20.0));
    near(fv_schedule_lr(&s, 20), 5e-4); /* starts of cycles: 20, 60, 140 */
    near(fv_schedule_lr(&s, 59), cosine(1e-5, 5e-4, 39.0, 40.0));
    near(fv_schedule_lr(&s, 60), 2.5e-4);
    near(fv_schedule_lr(&s, 139), cosine(1e-5, 2.5e-4, 79.0, 80.0));
    near(fv_schedule_lr(&s, 140), 1e-5);
    cr_assert_eq(fv_schedule_length(&s), 140);
}

Test(train_schedule, cycle_starts_are_found_in_spite_of_rounding) {
    fv_schedule s = {.base_lr = 1.0, .t_initial = 7, .cycle_limit = 9, .cycle_decay = 1.0};
    for (int m = 2; m <= 5; m++) {
        s.cycle_mul = m;
        int64_t start = 0, length = 7;
        for (int i = 0; i < 6; i++) {
            near(fv_schedule_lr(&s, start), 1.0);
            start += length;
            cr_assert_lt(fv_schedule_lr(&s, start - 1), 0.5);
            length *= m;
        }
    }
}

Test(train_schedule, equal_cycles_repeat) {
    fv_schedule s = plain;
    s.warmup_t = 0;
    s.cycle_limit = 2;
    near(fv_schedule_lr(&s, 100), 5e-4);
    near(fv_schedule_lr(&s, 150), cosine(1e-5, 5e-4, 50.0, 100.0));
    near(fv_schedule_lr(&s, 200), 1e-5);
    cr_assert_eq(fv_schedule_length(&s), 200);
}
