/* fovea analyze: what it prints, the files it writes, and how it refuses. */
#include "core/file.h"
#include "data/synth.h"
#include "models/weights.h"
#include "tests/support/generator.h"
#include "tests/support/run_cli.h"

#include <criterion/criterion.h>

#include <string.h>

#define HEADS 8

static const char *const names[] = {"disc", "square", "triangle"};

/* A checkpoint folder "model" of mini_vit, and a data set "set" of its classes. */
static void enter(void) {
    const fv_synth_config synth = {
        .n_classes = 3, .size_px = 40, .n_train = 3, .n_val = 9, .seed = 1};
    const fv_model_config config = {.name = "mini_vit", .num_classes = 3};
    fv_model *model;

    cli_enter();
    cr_assert_eq(fv_synth_write(cli_path("set"), &synth, false, NULL), FV_OK);
    cr_assert_eq(fv_model_create(&config, false, &model), FV_OK, "%s", fv_error_message());
    fv_generate_params(&model->params, "cli");
    cr_assert_eq(fv_model_save(model, names, cli_path("model")), FV_OK, "%s", fv_error_message());
    fv_model_destroy(model);
}

TestSuite(cli_test_cli_analyze, .init = enter, .fini = cli_leave);

static void fails(int status, int wanted, const char *part) {
    cr_expect_eq(status, wanted, "%d: %s%s", status, cli_out, cli_err);
    cr_expect(cli_one_error(part), "expected '%s', got:\n%s%s", part, cli_out, cli_err);
}

static int analyze(const char *more) {
    return cli_run("analyze %s --data-dir %s %s", cli_path("model"), cli_path("set"), more);
}

static const fv_value *need(const fv_value *map, const char *key, fv_value_kind kind) {
    const fv_value *v = fv_value_find(map, key);
    cr_assert(v && v->kind == kind, "%s", key);
    return v;
}

Test(cli_test_cli_analyze, json_holds_layers_and_heads) {
    cr_assert_eq(analyze("--json"), 0, "%s", cli_err);
    const fv_value *v = cli_json();
    cr_assert_not_null(v, "%s", cli_out);
    cr_expect_eq(need(v, "count", FV_VALUE_INT)->integer, 9, "all: fewer than 5 of each class");
    const fv_value *layers = need(v, "layers", FV_VALUE_LIST);
    cr_assert_eq(layers->count, 2);
    cr_expect_str_eq(need(layers->first, "name", FV_VALUE_STRING)->text, "blocks.0.attn");
    cr_expect_str_eq(need(layers->first, "kind", FV_VALUE_STRING)->text, "global");
    const fv_value *heads = need(v, "heads", FV_VALUE_LIST);
    cr_assert_eq(heads->count, HEADS);
    for (const fv_value *h = heads->first; h; h = h->next) {
        const fv_value *kl = need(h, "kl", FV_VALUE_MAP);
        cr_expect_gt(need(kl, "mean", FV_VALUE_REAL)->real, 0.0);
        cr_expect_gt(need(kl, "se", FV_VALUE_REAL)->real, 0.0);
        cr_expect_eq(need(h, "ring_sum", FV_VALUE_LIST)->count, 8);
    }
    const fv_value *ranks = need(v, "rank_correlation", FV_VALUE_MAP);
    cr_expect_eq(need(ranks, "names", FV_VALUE_LIST)->count, 7);
    cr_expect_eq(need(ranks, "spearman", FV_VALUE_LIST)->count, 7);
    cr_expect_eq(need(need(v, "similarity", FV_VALUE_MAP), "cka", FV_VALUE_LIST)->count, 3);
    need(v, "raw", FV_VALUE_NULL);
}

Test(cli_test_cli_analyze, text_is_a_row_per_head) {
    int rows = 0;

    cr_assert_eq(analyze("--count 1"), 0, "%s", cli_err);
    for (const char *p = cli_out; (p = strstr(p, ".attn ")); p++) rows++;
    cr_expect_eq(rows, HEADS, "%s", cli_out);
    cr_expect_not_null(strstr(cli_out, "3 images"), "%s", cli_out);
}

Test(cli_test_cli_analyze, out_gets_tensors_and_pictures) {
    cr_assert_eq(cli_run("analyze %s --data-dir %s --count 1 --out %s --json", cli_path("model"),
                         cli_path("set"), cli_path("a/b")),
                 0, "%s", cli_err);
    cr_expect(fv_file_exists(cli_path("a/b/analysis.safetensors")));
    cr_expect(fv_file_exists(cli_path("a/b/offsets.png")));
    cr_expect(fv_file_exists(cli_path("a/b/rings.png")));
    const fv_value *v = cli_json();
    cr_assert_not_null(v);
    cr_expect_str_eq(need(v, "raw", FV_VALUE_STRING)->text, cli_path("a/b/analysis.safetensors"));
    const fv_value *kl = need(need(v, "heads", FV_VALUE_LIST)->first, "kl", FV_VALUE_MAP);
    need(kl, "se", FV_VALUE_REAL);
}

/* The same numbers on one thread and on two, with loader threads and without. */
Test(cli_test_cli_analyze, threads_change_nothing) {
    static char first[CLI_TEXT];

    cr_assert_eq(analyze("--count 1 --json --threads 1 --workers 0"), 0, "%s", cli_err);
    strcpy(first, cli_out);
    cr_assert_eq(analyze("--count 1 --json --threads 2 --workers 2"), 0, "%s", cli_err);
    cr_expect_str_eq(cli_out, first);
}

Test(cli_test_cli_analyze, refusals) {
    fails(cli_run("analyze %s", cli_path("model")), 2, "--data-dir");
    fails(cli_run("analyze %s --data-dir %s", cli_path("none"), cli_path("set")), 1, "none");
    fails(cli_run("analyze %s --data-dir %s", cli_path("model"), cli_path("none")), 1, "none");
    fails(analyze("--precision bf16"), 2, "f32");
    fails(analyze("--out /proc/none"), 1, "/proc/none");
}
