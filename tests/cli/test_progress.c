#include "cli/progress.h"

#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>

Test(cli_progress, a_line_has_counter_rates_and_remaining_time) {
    const fv_report_step step = {.label = "Train: 3",
                                 .done = 50,
                                 .total = 1250,
                                 .images = 6400,
                                 .seconds = 10,
                                 .data_wait = 0.5,
                                 .note = "Loss: 2.302 (2.310)  LR: 1.0e-03"};
    char text[256];

    fv_progress_text(&step, text, sizeof text);
    cr_assert_str_eq(text, "Train: 3 [  50/1250 (  4%)]  Loss: 2.302 (2.310)  LR: 1.0e-03  "
                           "Time: 0.200s, 640.0/s  Data: 5%  ETA: 0:04:00");
}

Test(cli_progress, nothing_done_and_no_total) {
    const fv_report_step step = {.label = "Test"};
    char text[256], small[8];

    fv_progress_text(&step, text, sizeof text);
    cr_assert_str_eq(text, "Test [0]  Time: 0.000s, 0.0/s  Data: 0%");
    fv_progress_text(&step, small, sizeof small);
    cr_assert_str_eq(small, "Test [0");
}
