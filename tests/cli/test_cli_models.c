/* fovea models and fovea summary: lists and tables, and what is said of wrong names. */
#include "tests/support/run_cli.h"

#include "models/model.h"

#include <criterion/criterion.h>

#include <math.h>
#include <string.h>

TestSuite(cli_models, .init = cli_enter, .fini = cli_leave);

static void fails(int status, int wanted, const char *part) {
    cr_assert_eq(status, wanted, "%d: %s%s", status, cli_out, cli_err);
    cr_assert(cli_one_error(part), "expected '%s', got:\n%s%s", part, cli_out, cli_err);
}

static double number(const fv_value *map, const char *key) {
    const fv_value *v = fv_value_find(map, key);

    cr_assert(v && (v->kind == FV_VALUE_INT || v->kind == FV_VALUE_REAL), "%s", key);
    return v->real;
}

Test(cli_models, every_model_is_listed_with_its_cost) {
    int n = 0;

    cr_assert_eq(cli_run("models --json"), 0, "%s", cli_err);
    const fv_value *list = cli_json();
    cr_assert_not_null(list, "%s", cli_out);
    for (const fv_value *v = list->first; v; v = v->next, n++) {
        cr_assert_str_eq(fv_value_find(v, "name")->text, fv_model_name(n));
        cr_assert_str_eq(fv_value_find(v, "family")->text, fv_model_family(fv_model_name(n))->name);
        cr_assert_gt(number(v, "params"), 0.0);
        cr_assert_gt(number(v, "gmacs"), 0.0);
        cr_assert_eq(fv_value_find(v, "input_size")->count, 3);
    }
    cr_assert_null(fv_model_name(n), "all of them");
}

Test(cli_models, patterns) {
    cr_assert_eq(cli_run("models 'vit_tiny*' --json"), 0, "%s", cli_err);
    const fv_value *list = cli_json();
    cr_assert_not_null(list);
    cr_assert_geq(list->count, 1);
    const fv_value *tiny = list->first;
    cr_assert_str_eq(fv_value_find(tiny, "name")->text, "vit_tiny_patch16_224");
    cr_assert_eq(number(tiny, "params"), 5717416.0);
    cr_assert_float_eq(number(tiny, "gmacs"), 1.254, 5e-4);
    cr_assert_eq(fv_value_at(fv_value_find(tiny, "input_size"), 2)->integer, 224);
    cr_assert_eq(cli_run("models mini_vit"), 0);
    cr_assert_not_null(strstr(cli_out, "\nmini_vit "), "%s", cli_out);
    cr_assert_null(strstr(cli_out, "vit_tiny"));
    fails(cli_run("models 'mini_vti'"), 2, "did you mean 'mini_vit'?");
    fails(cli_run("models 'x*' --json"), 2, "'x*'");
}

Test(cli_models, summary_rows_add_up) {
    double params = 0.0, macs = 0.0;

    cr_assert_eq(cli_run("summary mini_vit --json --num-classes 7"), 0, "%s", cli_err);
    const fv_value *v = cli_json();
    cr_assert_not_null(v, "%s", cli_out);
    const fv_value *layers = fv_value_find(v, "layers");
    cr_assert(layers && layers->kind == FV_VALUE_LIST);
    for (const fv_value *row = layers->first; row; row = row->next) {
        params += number(row, "params");
        macs += number(row, "macs");
        cr_assert_not_null(fv_value_find(row, "name"));
        cr_assert_gt(fv_value_find(row, "output_shape")->count, 0);
    }
    cr_assert_eq(params, number(v, "params"));
    cr_assert_float_eq(macs / 1e9, number(v, "gmacs"), 1e-9);
    cr_assert_gt(number(v, "activations"), 0.0);
    cr_assert_str_eq(fv_value_find(layers->last, "name")->text, "head");
    cr_assert_eq(fv_value_find(layers->last, "output_shape")->last->integer, 7);
}

/* Each module is the sum of what is directly in it, to whatever depth it is asked for. */
Test(cli_models, summary_folds_layers_into_modules) {
    cr_assert_eq(cli_run("summary mini_vit --json --depth 2"), 0, "%s", cli_err);
    const fv_value *v = cli_json();
    cr_assert_not_null(v, "%s", cli_out);
    const fv_value *modules = fv_value_find(v, "modules");
    double params = 0.0, macs = 0.0, block = 0.0, kept = 0.0;
    for (const fv_value *m = modules->first; m; m = m->next) {
        const char *path = fv_value_find(m, "path")->text;
        cr_assert_leq(number(m, "depth"), 2.0);
        if (number(m, "depth") == 1.0) params += number(m, "params");
        if (number(m, "depth") == 1.0) macs += number(m, "macs");
        if (strcmp(path, "blocks") == 0) kept = number(m, "kept_bytes");
        if (strncmp(path, "blocks.", 7) == 0) block += number(m, "kept_bytes");
    }
    cr_assert_eq(params, number(v, "params"));
    cr_assert_float_eq(macs / 1e9, number(v, "gmacs"), 1e-9);
    cr_assert(kept > 0.0 && kept == block);
    cr_assert_eq(cli_run("summary mini_vit --depth 1"), 0);
    cr_assert(strstr(cli_out, "\nblocks ") && !strstr(cli_out, "blocks.0"), "%s", cli_out);
    cr_assert_eq(cli_run("summary mini_vit"), 0);
    cr_assert_not_null(strstr(cli_out, "\n      blocks.0.attn.qkv"), "%s", cli_out);
    cr_assert_not_null(strstr(cli_out, "\n      -                                    attention "),
                       "%s", cli_out);
    cr_assert_null(strstr(cli_out, " \n"), "no blanks at the end of a line");
}

Test(cli_models, summary_takes_sizes_arguments_and_files) {
    const char yaml[] = "model: mini_vit\nmodel_kwargs: {depth: 3}\nepochs: 5\n";
    const char *path = cli_write("model.yaml", yaml, strlen(yaml));

    cr_assert_eq(cli_run("summary -c %s", path), 0, "%s", cli_err);
    cr_assert_not_null(strstr(cli_out, "blocks.2.mlp.fc2"), "%s", cli_out);
    cr_assert_null(strstr(cli_out, "blocks.3."));
    cr_assert_eq(cli_run("summary mini_vit --img-size 64 --model-kwargs depth=1"), 0, "%s",
                 cli_err);
    cr_assert_not_null(strstr(cli_out, "64 x 64 px"), "%s", cli_out);
    cr_assert_null(strstr(cli_out, "blocks.1."));
}

Test(cli_models, summary_of_what_is_not_there) {
    fails(cli_run("summary"), 2, "a model's name or a checkpoint's path");
    fails(cli_run("summary mini_vitt"), 2, "did you mean 'mini_vit'?");
    fails(cli_run("summary %s", cli_path("none")), 1, "none");
    fails(cli_run("summary none.safetensors"), 1, "none.safetensors");
    fails(cli_run("summary mini_vit --model-kwargs dept=1"), 2, "dept");
    fails(cli_run("summary mini_vit --model-kwargs num_heads=5"), 2, "");
    fails(cli_run("summary mini_vit --img-size 33"), 2, "33");
    fails(cli_run("summary mini_vit --img-size 100000"), 2, "--img-size");
    fails(cli_run("summary mini_vit extra"), 2, "extra");
}

Test(cli_models, malformed_files_are_placed) {
    static const struct {
        const char *yaml, *where, *part;
    } cases[] = {
        {"model: [mini_vit\n", ".yaml:", ""},
        {"model: mini_vit\nmodle_kwargs: {depth: 1}\n", ".yaml:2:1:", "model_kwargs"},
        {"model: mini_vit\nepochs: many\n", ".yaml:2:9:", "integer"},
        {"model: mini_vit\nepochs: -3\n", ".yaml:2:9:", "epochs"},
        {"\x01\x02\xff", ".yaml", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *path = cli_write("bad.yaml", cases[i].yaml, strlen(cases[i].yaml));
        fails(cli_run("summary -c %s", path), 2, cases[i].where);
        cr_assert_not_null(strstr(cli_err, cases[i].part), "%s", cli_err);
    }
    fails(cli_run("summary -c %s", cli_path("none.yaml")), 2, "none.yaml");
}
