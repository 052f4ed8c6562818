/* fovea faithful: what it prints and writes, how it goes on, and how it refuses. */
#include "core/alloc.h"
#include "core/file.h"
#include "data/synth.h"
#include "models/weights.h"
#include "tests/support/generator.h"
#include "tests/support/picture.h"
#include "tests/support/run_cli.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A model of three classes and a set of one validation image each, with masks. */
static void enter(void) {
    const fv_synth_config config = {
        .n_classes = 3, .size_px = 32, .n_train = 3, .n_val = 3, .seed = 1};
    fv_model *model = NULL;
    fv_dataset *data = NULL;

    cli_enter();
    cr_assert_eq(fv_synth_write(cli_path("data"), &config, false, NULL), FV_OK, "%s",
                 fv_error_message());
    cr_assert_eq(fv_dataset_open(cli_path("data"), "validation", NULL, &data), FV_OK, "%s",
                 fv_error_message());
    cr_assert_eq(
        fv_model_create(&(fv_model_config){.name = "mini_vit", .num_classes = 3}, false, &model),
        FV_OK);
    fv_generate_params(&model->params, "");
    cr_assert_eq(fv_model_save(model, data->class_names, cli_path("model")), FV_OK, "%s",
                 fv_error_message());
    fv_model_destroy(model);
    fv_dataset_destroy(data);
}

TestSuite(cli_test_cli_faithful, .init = enter, .fini = cli_leave);

static int score(const char *more) {
    return cli_run("faithful %s --data-dir %s %s", cli_path("model"), cli_path("data"), more);
}

static const fv_value *method(const fv_value *result, const char *name) {
    for (const fv_value *m = fv_value_find(result, "methods")->first; m; m = m->next)
        if (strcmp(fv_value_find(m, "method")->text, name) == 0) return m;
    cr_assert(false, "no method %s", name);
    return NULL;
}

Test(cli_test_cli_faithful, numbers_come_with_intervals_and_comparisons) {
    cr_assert_eq(score("--methods lrp,centre --metrics deletion,pointing,sparsity --json"), 0, "%s",
                 cli_err);
    const fv_value *result = cli_json();
    cr_assert_not_null(result, "%s", cli_out);
    cr_expect_eq(fv_value_find(result, "count")->integer, 3);
    const char *const names[] = {"deletion_auc", "symmetric_gain", "pointing_game", "sparseness"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const fv_value *m = method(result, "lrp");
        const fv_value *interval = fv_value_find(fv_value_find(m, "intervals"), names[i]);
        const double mean = fv_value_find(m, names[i])->real;
        cr_expect(isfinite(mean), "%s", names[i]);
        cr_expect_leq(interval->first->real, mean, "%s", names[i]);
        cr_expect_geq(interval->first->next->real, mean, "%s", names[i]);
    }
    /* deletion 4, pointing 1, sparsity 2, of lrp against centre */
    cr_expect_eq(fv_value_find(result, "comparisons")->count, 7);
}

Test(cli_test_cli_faithful, the_table_is_for_people) {
    cr_assert_eq(score("--methods lrp --metrics deletion --count 1"), 0, "%s", cli_err);
    cr_expect_not_null(strstr(cli_out, "deletion_auc -"), "%s", cli_out);
    cr_expect_not_null(strstr(cli_out, "lrp"), "%s", cli_out);
}

static uint8_t *read_file(const char *name) {
    uint8_t *bytes = NULL;
    size_t n;
    cr_assert_eq(fv_file_read(cli_path(name), 1 << 20, &bytes, &n), FV_OK, "%s",
                 fv_error_message());
    return bytes;
}

/* A run that was cut gives the files of one that was not. */
Test(cli_test_cli_faithful, resume_goes_on) {
    char command[512];

    snprintf(command, sizeof command, "--methods lrp --metrics sparsity,pointing --out %s",
             cli_path("scores"));
    cr_assert_eq(score(command), 0, "%s", cli_err);
    uint8_t *log = read_file("scores/faithful.jsonl"), *csv = read_file("scores/faithful.csv");
    cr_expect(fv_file_exists(cli_path("scores/faithful.json")));
    char *cut = strstr((char *)log, "\n");
    for (int i = 0; i < 1; i++) cut = strstr(cut + 1, "\n");
    test_write(cli_path("scores/faithful.jsonl"), log, (size_t)(cut + 20 - (char *)log));
    strcat(command, " --resume auto");
    cr_assert_eq(score(command), 0, "%s", cli_err);
    uint8_t *log2 = read_file("scores/faithful.jsonl"), *csv2 = read_file("scores/faithful.csv");
    cr_expect_str_eq((char *)log2, (char *)log);
    cr_expect_str_eq((char *)csv2, (char *)csv);
    fv_free(log);
    fv_free(log2);
    fv_free(csv);
    fv_free(csv2);
    snprintf(command, sizeof command,
             "--methods lrp,edge --metrics sparsity --out %s --resume auto", cli_path("scores"));
    cr_expect_eq(score(command), 2);
    cr_expect_not_null(strstr(cli_err, "another question"), "%s", cli_err);

    int claim;
    cr_assert_eq(fv_folder_claim(cli_path("scores"), &claim), FV_OK);
    cr_expect_eq(score(command), 1);
    cr_expect_not_null(strstr(cli_err, "in use by another process"), "%s", cli_err);
    fv_folder_release(claim);
}

Test(cli_test_cli_faithful, randomisation_has_a_row_per_stage) {
    cr_assert_eq(score("--methods lrp --metrics sparsity --randomisation cascade --count 1 --json"),
                 0, "%s", cli_err);
    const fv_value *list = fv_value_find(cli_json(), "randomisation");
    cr_assert_not_null(list);
    cr_expect_str_eq(fv_value_find(list->first, "stage")->text, "head");
    cr_expect_str_eq(fv_value_find(list->last, "stage")->text, "stem");
    for (const fv_value *v = list->first; v; v = v->next) {
        cr_expect_eq(fv_value_find(v, "count")->integer, 3);
        cr_expect(fabs(fv_value_find(v, "spearman")->real) <= 1.0);
    }
}

static void fails(int status, int wanted, const char *part) {
    cr_expect_eq(status, wanted, "%d: %s%s", status, cli_out, cli_err);
    cr_expect(cli_one_error(part), "expected '%s', got:\n%s%s", part, cli_out, cli_err);
}

Test(cli_test_cli_faithful, what_is_wrong_is_said) {
    fails(score("--methods lpr"), 2, "did you mean 'lrp'");
    fails(score("--methods lrp --metrics deletoin"), 2, "deletoin");
    fails(score("--methods lrp --metrics shortcut"), 2, "needs what the data do not have");
    fails(score("--methods lrp --set metric_args.deletion_stp=3"), 2, "deletion_stp");
    fails(score("--methods lrp --precision bf16"), 2, "f32 only");
    fails(score("--methods lrp --resume auto"), 2, "--out");
    fails(cli_run("faithful %s --methods lrp", cli_path("model")), 2, "--data-dir");
    fails(cli_run("faithful %s --data-dir %s", cli_path("none"), cli_path("data")), 1,
          "no such checkpoint");
}
