/* Scores of methods: which metrics run, what is undefined, and that nothing depends on neighbours. */
#include "core/alloc.h"
#include "eval/saliency/faithful_log.h"
#include "eval/saliency/faithful_table.h"
#include "tests/support/generator.h"
#include "tests/support/picture.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define SIDE 32

static fv_model *model;
static fv_arena arena;
static fv_saliency_choice methods[2];
static fv_faithful question;
static float image[2 * SIDE * SIDE * 3];
static uint8_t mask[SIDE * SIDE];
static char root[64];

static void enter(void) {
    int n;

    test_folder_enter(root);
    cr_assert_eq(fv_model_create(&(fv_model_config){.name = "mini_vit"}, false, &model), FV_OK);
    fv_generate_params(&model->params, "");
    fv_generate_images("", "input", 2, 3, SIDE, SIDE, image);
    cr_assert_eq(fv_saliency_parse_list("lrp,gradient_x_input", &arena, 2, methods, &n), FV_OK);
    question = (fv_faithful){
        .model = model, .methods = methods, .n_methods = n, .against = FV_AGAINST_NOTHING};
    cr_assert_eq(fv_tape_create(&question.tape), FV_OK);
    for (int y = 8; y < 24; y++) memset(mask + y * SIDE + 8, 255, 16);
}

static void leave(void) {
    fv_tape_destroy(question.tape);
    fv_model_destroy(model);
    fv_arena_destroy(&arena);
    test_folder_leave(root);
}

TestSuite(eval_faithful, .init = enter, .fini = leave);

static int find(const char *name) {
    for (int k = 0; k < fv_faithful_count(&question); k++)
        if (strcmp(fv_faithful_value(&question, k)->name, name) == 0) return k;
    return -1;
}

Test(eval_faithful, metrics_follow_from_what_is_known) {
    const unsigned model_only = FV_METRIC_SCORER | FV_METRIC_EXPLAIN;

    cr_assert_eq(fv_faithful_choose(&question, "", model_only), FV_OK);
    cr_expect_geq(find("deletion_auc"), 0);
    cr_expect_lt(find("pointing_game"), 0, "there is no mask");
    cr_expect_lt(find("max_sensitivity"), 0, "on_request");
    cr_assert_eq(fv_faithful_choose(&question, "", model_only | FV_METRIC_MASK), FV_OK);
    cr_expect_geq(find("pointing_game"), 0);
    cr_assert_eq(fv_faithful_choose(&question, "sensitivity, sparsity", model_only), FV_OK);
    cr_expect_geq(find("max_sensitivity"), 0);
    cr_expect_eq(question.n_metrics, 2);
    cr_expect_eq(fv_faithful_choose(&question, "pointing", model_only), FV_ERR_CONFIG);
    cr_expect_eq(fv_faithful_choose(&question, "sparsity,sparsity", model_only), FV_ERR_CONFIG);
    cr_expect_eq(fv_faithful_choose(&question, "none", model_only), FV_ERR_CONFIG);
}

static void choose(const char *text) {
    cr_assert_eq(
        fv_faithful_choose(&question, text, FV_METRIC_SCORER | FV_METRIC_EXPLAIN | FV_METRIC_MASK),
        FV_OK, "%s", fv_error_message());
}

/* A method's numbers are the same whatever methods stand beside it. */
Test(eval_faithful, methods_are_scored_alone) {
    double both[32], one[16];

    choose("deletion,class_sensitivity,pointing,sparsity");
    const int n = fv_faithful_count(&question);
    cr_assert_leq(n, 16);
    const fv_faithful_image first = {.pixels = image, .target = -1, .mask = mask};
    cr_assert_eq(fv_faithful_run(&question, &first, both), FV_OK, "%s", fv_error_message());
    question.methods = &methods[1];
    question.n_methods = 1;
    cr_assert_eq(fv_faithful_run(&question, &first, one), FV_OK, "%s", fv_error_message());
    cr_expect_eq(memcmp(one, both + n, (size_t)n * sizeof *one), 0);
    for (int k = 0; k < n; k++) cr_expect(isfinite(one[k]), "%d", k);
}

Test(eval_faithful, what_needs_a_mask_is_undefined_without_one) {
    double values[32];

    choose("pointing,sparsity");
    const fv_faithful_image bare = {.pixels = image, .target = -1};
    cr_assert_eq(fv_faithful_run(&question, &bare, values), FV_OK, "%s", fv_error_message());
    cr_expect(isnan(values[find("pointing_game")]));
    cr_expect_not(isnan(values[find("sparseness")]));
}

/* Relevance methods bring their account; the others have none. */
Test(eval_faithful, accounts_reach_the_ledger) {
    double values[32];

    cr_assert_eq(fv_faithful_choose(&question, "ledger", FV_METRIC_ACCOUNT), FV_OK);
    const int n = fv_faithful_count(&question), pixels = find("share_pixels");
    const fv_faithful_image bare = {.pixels = image, .target = -1};
    cr_assert_eq(fv_faithful_run(&question, &bare, values), FV_OK, "%s", fv_error_message());
    double sum = values[pixels];
    for (int k = pixels + 1; k < n; k++) sum += values[k];
    cr_expect_float_eq(fabs(sum), 1.0, 1e-4, "the shares add up to the score: %g", sum);
    for (int k = 0; k < n; k++) cr_expect(isnan(values[n + k]), "gradient_x_input has none");
}

/* ---- tables ---- */

Test(eval_faithful, tables_average_and_compare) {
    fv_faithful_table table = {.question = &question};
    double row[2];
    fv_value *list;
    fv_summary s;

    choose("pointing");
    cr_assert_eq(fv_faithful_count(&question), 1);
    for (int i = 0; i < 12; i++) {
        row[0] = i == 5 ? (double)NAN : 1.0;
        row[1] = 0.25 * (i % 2);
        cr_assert_eq(fv_faithful_table_add(&table, row, i < 9 ? 0 : 1), FV_OK);
    }
    cr_assert_eq(fv_faithful_table_summary(&table, 0, 0, &s), FV_OK);
    cr_expect_eq(s.undefined, 1);
    cr_expect_eq(s.mean, 1.0);
    cr_assert_eq(fv_faithful_table_summary(&table, 1, 0, &s), FV_OK);
    /* Classes weigh the same: (4 of 9 and 2 of 3 images) / 2. */
    cr_expect_float_eq(s.mean, 0.25 * (4.0 / 9.0 + 2.0 / 3.0) / 2.0, 1e-12);
    cr_expect(s.interval.low <= s.mean && s.mean <= s.interval.high);
    cr_assert_eq(fv_faithful_table_compare(&table, 1, &arena, &list), FV_OK);
    cr_assert_eq(list->count, 1);
    cr_expect_gt(fv_value_find(list->first, "difference")->real, 0.5);
    cr_expect_lt(fv_value_find(list->first, "p")->real, 0.01);
    cr_assert_eq(fv_faithful_table_methods(&table, &arena, &list), FV_OK);
    cr_expect_eq(fv_value_find(fv_value_find(list->first, "undefined"), "pointing_game")->integer,
                 1);
    fv_faithful_table_free(&table);
}

/* ---- logs ---- */

Test(eval_faithful, logs_go_on_where_they_stopped) {
    const fv_faithful_log_question asked = {.question = &question, .data = "d", .split = "s"};
    fv_faithful_log *log;
    double values[2] = {0.1, (double)NAN}, found[2] = {0.0, 0.0};
    char path[128];

    snprintf(path, sizeof path, "%s/log.jsonl", root);
    choose("pointing");
    cr_assert_eq(fv_faithful_log_open(path, &asked, true, &log), FV_OK, "%s", fv_error_message());
    cr_assert_eq(fv_faithful_log_add(log, "one.png", values), FV_OK);
    cr_expect_not(fv_faithful_log_find(log, "one.png", found), "only what was there before");
    fv_faithful_log_close(log);
    FILE *f = fopen(path, "a");
    fputs("{\"image\": \"two.png\", \"val", f); /* cut by a kill */
    fclose(f);
    cr_assert_eq(fv_faithful_log_open(path, &asked, true, &log), FV_OK, "%s", fv_error_message());
    cr_assert(fv_faithful_log_find(log, "one.png", found));
    cr_expect(found[0] == 0.1 && isnan(found[1]));
    cr_expect_not(fv_faithful_log_find(log, "two.png", found));
    cr_assert_eq(fv_faithful_log_add(log, "two.png", values), FV_OK);
    fv_faithful_log_close(log);
    cr_assert_eq(fv_faithful_log_open(path, &asked, true, &log), FV_OK, "%s", fv_error_message());
    cr_expect(fv_faithful_log_find(log, "two.png", found));
    fv_faithful_log_close(log);
    question.seed++;
    cr_expect_eq(fv_faithful_log_open(path, &asked, true, &log), FV_ERR_CONFIG);
    cr_expect_not_null(strstr(fv_error_message(), "another question"));
    cr_assert_eq(fv_faithful_log_open(path, &asked, false, &log), FV_OK);
    cr_expect_not(fv_faithful_log_find(log, "one.png", found), "begun anew");
    fv_faithful_log_close(log);
}
