/* fovea convert: what it reads, what it writes, what it says. */
#include "tests/support/run_cli.h"

#include "core/alloc.h"
#include "core/file.h"
#include "core/safetensors.h"
#include "models/weights.h"
#include "tests/support/generator.h"

#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>

static const char *const names[] = {"ant", "bee", "cat"};

/* A checkpoint folder "model" of mini_vit. */
static void enter(void) {
    const fv_model_config config = {.name = "mini_vit", .num_classes = 3};
    fv_model *model;

    cli_enter();
    cr_assert_eq(fv_model_create(&config, false, &model), FV_OK, "%s", fv_error_message());
    fv_generate_params(&model->params, "cli");
    cr_assert_eq(fv_model_save(model, names, cli_path("model")), FV_OK, "%s", fv_error_message());
    fv_model_destroy(model);
}

TestSuite(cli_convert, .init = enter, .fini = cli_leave);

static void fails(int status, int wanted, const char *part) {
    cr_assert_eq(status, wanted, "%d: %s%s", status, cli_out, cli_err);
    cr_assert(cli_one_error(part), "expected '%s', got:\n%s%s", part, cli_out, cli_err);
}

static void same_files(const char *a, const char *b) {
    uint8_t *x = NULL, *y = NULL;
    size_t n = 0, m = 0;

    cr_assert_eq(fv_file_read(cli_path(a), 1 << 24, &x, &n), FV_OK, "%s", fv_error_message());
    cr_assert_eq(fv_file_read(cli_path(b), 1 << 24, &y, &m), FV_OK, "%s", fv_error_message());
    cr_assert(n == m && memcmp(x, y, n) == 0, "%s and %s", a, b);
    fv_free(x);
    fv_free(y);
}

Test(cli_convert, there_and_back_is_the_same_file) {
    cr_assert_eq(
        cli_run("convert %s --out %s --to transformers", cli_path("model"), cli_path("foreign")), 0,
        "%s", cli_err);
    cr_assert_not_null(strstr(cli_out, "by transformers' ViT names"), "%s", cli_out);
    cr_assert_eq(cli_run("convert %s --out %s --json", cli_path("foreign"), cli_path("back")), 0,
                 "%s", cli_err);
    const fv_value *v = cli_json();
    cr_assert_not_null(v, "%s", cli_out);
    cr_assert_str_eq(fv_value_find(v, "names")->text, "transformers' ViT names");
    cr_assert_str_eq(fv_value_find(v, "to")->text, "timm");
    cr_assert_str_eq(fv_value_find(v, "model")->text, "mini_vit");
    cr_assert_eq(fv_value_find(v, "missing")->count, 0);
    cr_assert_eq(fv_value_find(v, "num_classes")->integer, 3);
    cr_assert_gt(fv_value_find(v, "read")->integer, 30);
    same_files("model/model.safetensors", "back/model.safetensors");
    same_files("model/config.json", "back/config.json");
}

/* What others rely on: length, header of JSON padded with spaces to 8 bytes, data from 8 bytes on. */
Test(cli_convert, the_file_has_the_form_others_read) {
    fv_safetensors *st = NULL;
    uint8_t *bytes = NULL;
    size_t n = 0;
    uint64_t length;

    cr_assert_eq(cli_run("convert %s --out %s", cli_path("model"), cli_path("new")), 0, "%s",
                 cli_err);
    cr_assert_eq(fv_file_read(cli_path("new/model.safetensors"), 1 << 24, &bytes, &n), FV_OK);
    memcpy(&length, bytes, 8);
    cr_assert_eq(length % 8, 0);
    cr_assert_eq(bytes[8], '{');
    static const char start[] = "{\"__metadata__\":{\"format\":\"pt\"},";
    cr_assert_eq(memcmp(bytes + 8, start, sizeof start - 1), 0, "%.60s", (char *)bytes + 8);
    fv_free(bytes);
    cr_assert_eq(fv_safetensors_open(cli_path("new/model.safetensors"), &st), FV_OK);
    for (int64_t i = 0; i < fv_safetensors_count(st); i++)
        cr_assert_eq(fv_safetensors_at(st, i)->dtype, FV_F32);
    fv_safetensors_close(st);
}

Test(cli_convert, foreign_names_are_read_wherever_a_checkpoint_is) {
    cr_assert_eq(
        cli_run("convert %s --out %s --to transformers", cli_path("model"), cli_path("foreign")), 0,
        "%s", cli_err);
    cr_assert_eq(cli_run("summary %s", cli_path("foreign")), 0, "%s", cli_err);
    cr_assert_not_null(strstr(cli_err, "tensors read by transformers' ViT names"), "%s", cli_err);
    cr_assert_eq(cli_run("summary %s", cli_path("model")), 0, "%s", cli_err);
    cr_assert_str_empty(cli_err);
}

Test(cli_convert, what_does_not_fit_is_reported_and_nothing_is_written) {
    fails(cli_run("convert %s", cli_path("model")), 2, "--out");
    fails(cli_run("convert %s --out %s --to keras", cli_path("model"), cli_path("new")), 2,
          "known: timm, transformers");
    fails(cli_run("convert %s --out %s", cli_path("none"), cli_path("new")), 1, "none");
    const char *bare = cli_path("bare.safetensors");
    cr_assert_eq(rename(cli_path("model/model.safetensors"), bare), 0);
    fails(cli_run("convert %s --out %s", bare, cli_path("new")), 2, "--model");
    cr_assert_eq(cli_run("convert %s --out %s --model mini_vit --model-kwargs depth=3 --json", bare,
                         cli_path("new")),
                 1);
    cr_assert_not_null(strstr(cli_err, "12 missing (blocks.2.norm1.weight"), "%s", cli_err);
    const fv_value *v = cli_json();
    cr_assert_not_null(v, "%s", cli_out);
    cr_assert_eq(fv_value_find(v, "missing")->count, 12);
    cr_assert_null(fv_value_find(v, "out"));
    cr_assert_not(fv_folder_exists(cli_path("new")));
}

Test(cli_convert, pickles_are_told_from_torn_files) {
    static const char zip[] = "PK\3\4\0\0\10\10\0\0\0\0\0\0\0\0",
                      old[] = "\200\2\212\nl\374\234F\371 j\250P\31.";

    fails(cli_run("convert %s --model mini_vit --out %s", cli_write("a.pth", zip, sizeof zip),
                  cli_path("new")),
          1, "a PyTorch file (pickle)");
    fails(cli_run("convert %s --model mini_vit --out %s", cli_write("b.pth", old, sizeof old),
                  cli_path("new")),
          1, "safetensors.torch.save_file");
    fails(cli_run("convert %s --model mini_vit --out %s",
                  cli_write("c.pth", "neither of them, surely", 23), cli_path("new")),
          1, "not a safetensors file");
}
