/* fovea features, and fine-tuning by fovea train: what they write and say. */
#include "tests/support/run_cli.h"

#include "core/file.h"
#include "core/safetensors.h"
#include "data/synth.h"
#include "models/weights.h"
#include "tests/support/generator.h"

#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>

#define TRAIN      24
#define VALIDATION 9

/* A checkpoint folder "model" of mini_vit for ten classes, and a data set "set" of three. */
static void enter(void) {
    const fv_synth_config synth = {
        .n_classes = 3, .size_px = 40, .n_train = TRAIN, .n_val = VALIDATION, .seed = 1};
    fv_model *model;

    cli_enter();
    cr_assert_eq(fv_synth_write(cli_path("set"), &synth, false, NULL), FV_OK);
    cr_assert_eq(fv_model_create(&(fv_model_config){.name = "mini_vit"}, false, &model), FV_OK);
    fv_generate_params(&model->params, "cli");
    cr_assert_eq(fv_model_save(model, NULL, cli_path("model")), FV_OK, "%s", fv_error_message());
    fv_model_destroy(model);
}

TestSuite(cli_features, .init = enter, .fini = cli_leave);

static int features(const char *more) {
    return cli_run("features %s --data-dir %s %s", cli_path("model"), cli_path("set"), more);
}

static double number(const fv_value *map, const char *key) {
    const fv_value *v = fv_value_find(map, key);

    cr_assert(v && (v->kind == FV_VALUE_INT || v->kind == FV_VALUE_REAL), "%s", key);
    return v->real;
}

static void same_file(const char *a, const char *b) {
    cr_assert_eq(cli_run_program("cmp", "%s %s", cli_path(a), cli_path(b)), 0, "%s%s", cli_out,
                 cli_err);
}

Test(cli_features, features_are_written_and_judged) {
    char more[512];
    fv_safetensors *st = NULL;

    snprintf(more, sizeof more, "--threads 1 --knn 5 --linear-probe --json --out %s",
             cli_path("a.safetensors"));
    cr_assert_eq(features(more), 0, "%s", cli_err);
    const fv_value *map = cli_json();
    cr_assert_eq(number(map, "count"), VALIDATION);
    cr_assert_eq(number(map, "train_count"), TRAIN);
    const double knn = number(fv_value_find(map, "knn"), "top1");
    const double linear = number(fv_value_find(map, "linear_probe"), "top1");
    cr_assert(knn >= 0.0 && knn <= 100.0 && linear >= 0.0 && linear <= 100.0);
    cr_assert_eq(fv_safetensors_open(cli_path("a.safetensors"), &st), FV_OK);
    const fv_safetensors_entry *x = fv_safetensors_find(st, "features");
    const fv_safetensors_entry *t = fv_safetensors_find(st, "train_features");
    cr_assert(x && x->shape.dim[0] == VALIDATION && x->shape.dim[1] == 64);
    cr_assert(t && t->shape.dim[0] == TRAIN && t->shape.dim[1] == 64);
    cr_assert(fv_safetensors_find(st, "labels") && fv_safetensors_find(st, "train_labels"));
    cr_assert(strstr(fv_safetensors_metadata(st, "names"), "disc/"));
    fv_safetensors_close(st);

    snprintf(more, sizeof more,
             "--threads 3 --workers 0 --batch-size 5 --knn 5 --linear-probe --json --out %s",
             cli_path("b.safetensors"));
    cr_assert_eq(features(more), 0, "%s", cli_err);
    cr_assert_eq(number(fv_value_find(cli_json(), "knn"), "top1"), knn);
    cr_assert_eq(number(fv_value_find(cli_json(), "linear_probe"), "top1"), linear);
    same_file("a.safetensors", "b.safetensors");
}

Test(cli_features, a_split_alone_and_nothing_to_do) {
    char more[256];

    snprintf(more, sizeof more, "--split train --out %s", cli_path("c.safetensors"));
    cr_assert_eq(features(more), 0, "%s", cli_err);
    cr_assert(strstr(cli_out, "24"), "%s", cli_out);
    cr_assert_eq(features(""), 2);
    cr_assert(cli_one_error("--out"), "%s", cli_err);
}

Test(cli_features, fine_tuning_says_what_it_adapts) {
    const char *const run = "train --model mini_vit --data-dir %s --initial-checkpoint %s "
                            "--img-size 48 --batch-size 8 --epochs 1 --max-steps 2 --workers 0 "
                            "--precision f32 --freeze %s --out %s";
    char command[1024];

    snprintf(command, sizeof command, run, cli_path("set"), cli_path("model"), "backbone",
             cli_path("run"));
    cr_assert_eq(cli_run("%s", command), 0, "%s", cli_err);
    cr_assert(strstr(cli_err, "positions resized from 8x8 to 12x12; head re-initialised: 10 "
                              "classes there, 3 here"),
              "%s", cli_err);
    cr_assert(strstr(cli_err, "frozen  backbone: 195 of "), "%s", cli_err);
    cr_assert_eq(cli_run("eval %s --data-dir %s --img-size 32", cli_path("run"), cli_path("set")),
                 0, "%s", cli_err);
    cr_assert(strstr(cli_err, "positions resized from 12x12 to 8x8"), "%s", cli_err);
    cr_assert_eq(cli_run("eval %s --data-dir %s", cli_path("model"), cli_path("set")), 1);
    snprintf(command, sizeof command, run, cli_path("set"), cli_path("model"), "block.0",
             cli_path("other"));
    cr_assert_eq(cli_run("%s", command), 2, "%s", cli_err);
    cr_assert(cli_one_error("'block.0' is no part of mini_vit"), "%s", cli_err);
}
