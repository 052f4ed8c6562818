/* fovea explain: the files it writes, what it prints, and how it refuses. */
#include "core/alloc.h"
#include "core/file.h"
#include "core/safetensors.h"
#include "data/image.h"
#include "eval/saliency/method.h"
#include "models/weights.h"
#include "tests/support/generator.h"
#include "tests/support/picture.h"
#include "tests/support/run_cli.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const labels[] = {"ant", "bee", "cat", "dog",  "eel",
                                     "fox", "gnu", "hen", "ibis", "jay"};

/* A model folder and two pictures of one name in two folders. */
static void enter(void) {
    fv_model *model = NULL;

    cli_enter();
    cr_assert_eq(fv_model_create(&(fv_model_config){.name = "mini_vit"}, false, &model), FV_OK,
                 "%s", fv_error_message());
    fv_generate_params(&model->params, "");
    cr_assert_eq(fv_model_save(model, labels, cli_path("model")), FV_OK, "%s", fv_error_message());
    fv_model_destroy(model);
    fv_image *pattern = test_pattern(40, 52);
    mkdir(cli_path("a"), 0777);
    mkdir(cli_path("b"), 0777);
    cr_assert_eq(fv_image_save_png(pattern, cli_path("a/one.png")), FV_OK);
    cr_assert_eq(fv_image_save_png(pattern, cli_path("b/one.png")), FV_OK);
    fv_image_destroy(pattern);
    test_write_picture(cli_path("b/two.jpg"), 32, 32, 200);
    test_write(cli_path("b/notes.txt"), "no picture", 10);
}

TestSuite(cli_test_cli_explain, .init = enter, .fini = cli_leave);

static void fails(int status, int wanted, const char *part) {
    cr_expect_eq(status, wanted, "%d: %s%s", status, cli_out, cli_err);
    cr_expect(cli_one_error(part), "expected '%s', got:\n%s%s", part, cli_out, cli_err);
}

static const char *text(const fv_value *map, const char *key) {
    const fv_value *v = fv_value_find(map, key);
    cr_assert(v && v->kind == FV_VALUE_STRING, "%s", key);
    return v->text;
}

static double number(const fv_value *map, const char *key) {
    const fv_value *v = fv_value_find(map, key);
    cr_assert(v && (v->kind == FV_VALUE_INT || v->kind == FV_VALUE_REAL), "%s", key);
    return v->real;
}

static void check_picture(const char *path) {
    fv_image *image = NULL;

    cr_assert_eq(fv_image_load(path, &image), FV_OK, "%s", fv_error_message());
    cr_expect_eq(image->height, 224, "32 pixels, enlarged seven times");
    cr_expect_eq(image->width, 224);
    /* Every pixel of the map is a square of 7 x 7. */
    for (int64_t y = 0; y < 224; y++)
        for (int64_t x = 0; x < 224; x++)
            cr_assert_eq(memcmp(image->pixels + 3 * (224 * y + x),
                                image->pixels + 3 * (224 * (y / 7 * 7) + x / 7 * 7), 3),
                         0);
    fv_image_destroy(image);
}

/* The raw file says what the entry says, and its map is the sum over channels. */
static void check_raw(const fv_value *entry) {
    fv_safetensors *file = NULL;
    fv_arena arena = {0};
    fv_tensor map, relevance;

    cr_assert_eq(fv_safetensors_open(text(entry, "raw"), &file), FV_OK, "%s", fv_error_message());
    cr_assert_eq(fv_safetensors_load(file, "map", &arena, &map), FV_OK);
    cr_assert_eq(fv_safetensors_load(file, "relevance", &arena, &relevance), FV_OK);
    cr_assert_eq(fv_shape_numel(&map.shape), 32 * 32);
    cr_assert_eq(fv_shape_numel(&relevance.shape), 3 * 32 * 32);
    const float *m = map.data, *r = relevance.data;
    for (int i = 0; i < 32 * 32; i++) cr_assert_eq(m[i], r[3 * i] + r[3 * i + 1] + r[3 * i + 2]);
    cr_expect_str_eq(fv_safetensors_metadata(file, "model"), "mini_vit");
    cr_expect_str_eq(fv_safetensors_metadata(file, "image"), text(entry, "image"));
    cr_expect_str_eq(fv_safetensors_metadata(file, "method"), text(entry, "method"));
    cr_expect_str_eq(fv_safetensors_metadata(file, "target_name"), text(entry, "target_name"));
    const char *const keys[] = {"target",     "logit",  "probability", "conservation_error",
                                "parameters", "ledger", "checkpoint"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        cr_expect_not_null(fv_safetensors_metadata(file, keys[i]), "%s", keys[i]);
    fv_safetensors_close(file);
    fv_arena_destroy(&arena);
}

Test(cli_test_cli_explain, writes_maps_of_both_methods_by_default) {
    cr_assert_eq(cli_run("explain %s %s %s --out %s --json", cli_path("model"),
                         cli_path("a/one.png"), cli_path("b"), cli_path("maps")),
                 0, "%s", cli_err);
    cr_expect_str_eq(cli_err, "");
    const fv_value *list = cli_json();
    cr_assert_not_null(list, "%s", cli_out);
    cr_assert_eq(list->count, 6, "three images, two methods");
    const fv_value *entry = list->first;
    for (int i = 0; entry; entry = entry->next, i++) {
        const bool lrp = i % 2 == 0;
        cr_expect_str_eq(text(entry, "method"), lrp ? "lrp" : "gradient_x_input");
        const int64_t target = fv_value_find(entry, "target")->integer;
        cr_expect_str_eq(text(entry, "target_name"), labels[target]);
        cr_expect_eq(fv_value_find(entry, "conservation_error")->kind == FV_VALUE_NULL, !lrp);
        if (lrp) cr_expect_leq(number(entry, "conservation_error"), 1e-5);
        cr_expect_eq(fv_value_find(entry, "ledger")->kind == FV_VALUE_NULL, !lrp);
        check_picture(text(entry, "map"));
        check_picture(text(entry, "overlay"));
        check_raw(entry);
    }
    cr_expect(fv_file_exists(cli_path("maps/one_lrp_heat.png")));
    cr_expect(fv_file_exists(cli_path("maps/one-2_lrp_overlay.png")), "a clash of names");
    cr_expect(fv_file_exists(cli_path("maps/two_gradient_x_input.safetensors")));
}

Test(cli_test_cli_explain, target_by_name_and_index_is_the_same) {
    const char *const targets[] = {"gnu", "6"};
    uint8_t *bytes[2];
    size_t n[2];

    for (int i = 0; i < 2; i++) {
        cr_assert_eq(cli_run("explain %s %s --out %s --method lrp:cplrp --target %s",
                             cli_path("model"), cli_path("a/one.png"), cli_path("maps"),
                             targets[i]),
                     0, "%s", cli_err);
        cr_expect_not_null(strstr(cli_out, "6 gnu"), "%s", cli_out);
        cr_assert_eq(
            fv_file_read(cli_path("maps/one_lrp-cplrp.safetensors"), 1 << 20, &bytes[i], &n[i]),
            FV_OK);
    }
    cr_expect_eq(n[0], n[1]);
    cr_expect_eq(memcmp(bytes[0], bytes[1], n[0]), 0);
    fv_free(bytes[0]);
    fv_free(bytes[1]);
}

Test(cli_test_cli_explain, count_limits_a_folder) {
    cr_assert_eq(cli_run("explain %s %s --out %s --count 1 --method lrp --json", cli_path("model"),
                         cli_path("b"), cli_path("maps")),
                 0, "%s", cli_err);
    cr_assert_eq(cli_json()->count, 1);
}

Test(cli_test_cli_explain, usage_errors_are_2) {
    const struct {
        const char *arguments, *message;
    } cases[] = {
        {"--out %s/maps --method lpr", "unknown method 'lpr'"},
        {"--out %s/maps --method lrp:x", "no variant 'x'"},
        {"--out %s/maps --method lrp,lrp", "twice"},
        {"--out %s/maps --target 10", "10 classes, 0 to 9"},
        {"--out %s/maps --target -1", "does not exist"},
        {"--out %s/maps --target gmu", "did you mean 'gnu'?"},
        {"--out %s/maps --precision bf16", "f32 only"},
        {"--out %s/maps --colormap seismik", "did you mean 'seismic'?"},
        {"--out %s/maps --normalise percentil:95", "did you mean 'percentile'?"},
        {"--out %s/maps --normalise percentile:x", "no such parameter"},
        {"--out %s/maps --colormap viridis", "for maps without sign"},
        {"--out %s/maps --normalise minmax --method lrp", "for maps without sign"},
        {"", "--out"},
    };
    char folder[256], arguments[512];

    snprintf(folder, sizeof folder, "%s", cli_path("."));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *where = strstr(cases[i].arguments, "%s");
        if (where)
            snprintf(arguments, sizeof arguments, "--out %s%s", folder, where + 2);
        else
            arguments[0] = 0;
        fails(cli_run("explain %s %s %s", cli_path("model"), cli_path("a/one.png"), arguments), 2,
              cases[i].message);
        cr_expect_not(fv_folder_exists(cli_path("maps")), "nothing was written");
    }
}

Test(cli_test_cli_explain, missing_and_bad_files_are_1) {
    const uint8_t torn[] = {0x89, 'P', 'N', 'G', 13, 10, 26, 10, 0, 0};

    fails(cli_run("explain %s %s --out %s", cli_path("none"), cli_path("a/one.png"),
                  cli_path("maps")),
          1, "none: no such checkpoint");
    fails(cli_run("explain %s %s --out %s", cli_path("model"), cli_path("a/none.png"),
                  cli_path("maps")),
          1, "none.png: no such image");
    fails(cli_run("explain %s %s --out %s", cli_path("model"), cli_path("model"), cli_path("maps")),
          1, "no image files");
    fails(cli_run("explain %s %s --out %s", cli_path("model"), cli_path("b/notes.txt"),
                  cli_path("maps")),
          1, "notes.txt: ");
    test_write(cli_path("torn.png"), torn, sizeof torn);
    fails(cli_run("explain %s %s --out %s", cli_path("model"), cli_path("torn.png"),
                  cli_path("maps")),
          1, "torn.png: ");
}

/* A folder that cannot be written into is found before the checkpoint's model computes anything, and
 * what lies there stays. */
Test(cli_test_cli_explain, earlier_output_stays) {
    uint8_t *bytes = NULL;
    size_t n = 0;

    test_write(cli_path("taken"), "mine", 4);
    fails(cli_run("explain %s %s --out %s", cli_path("model"), cli_path("a/one.png"),
                  cli_path("taken")),
          1, "taken");
    fails(cli_run("explain %s %s --out %s", cli_path("model"), cli_path("a/one.png"),
                  cli_path("taken/below")),
          1, "taken");
    cr_assert_eq(fv_file_read(cli_path("taken"), 100, &bytes, &n), FV_OK);
    cr_expect(n == 4 && memcmp(bytes, "mine", 4) == 0);
    fv_free(bytes);

    cr_assert_eq(cli_run("explain %s %s --out %s --method lrp", cli_path("model"),
                         cli_path("a/one.png"), cli_path("maps")),
                 0, "%s", cli_err);
    struct stat before, after;
    cr_assert_eq(stat(cli_path("maps/one_lrp.safetensors"), &before), 0);
    test_write(cli_path("c/one.png"), "no picture", 10);
    fails(cli_run("explain %s %s --out %s --method lrp", cli_path("model"), cli_path("c/one.png"),
                  cli_path("maps")),
          1, "c/one.png");
    cr_assert_eq(stat(cli_path("maps/one_lrp.safetensors"), &after), 0);
    cr_expect_eq(before.st_ino, after.st_ino);
    cr_expect_eq(before.st_size, after.st_size);
}

/* ---- data sets ---- */

/* Ten classes of one picture each. */
static void make_data(void) {
    char path[512];

    for (int i = 0; i < 10; i++) {
        snprintf(path, sizeof path, "%s/validation/%s/p%d.jpg", cli_path("data"), labels[i], i);
        test_write_picture(path, 32, 32, (uint8_t)(20 * i + 10));
    }
}

static void explain_data(int wanted, const char *more) {
    cr_assert_eq(cli_run("explain %s --data-dir %s --out %s --method gradient_x_input %s",
                         cli_path("model"), cli_path("data"), cli_path("maps"), more),
                 wanted, "%s", cli_err);
}

Test(cli_test_cli_explain, a_data_set_by_its_labels) {
    make_data();
    explain_data(0, "--target @label --batch-size 4 --json");
    const fv_value *list = cli_json();
    cr_assert_not_null(list, "%s", cli_out);
    cr_assert_eq(list->count, 10);
    int64_t i = 0;
    for (const fv_value *entry = list->first; entry; entry = entry->next, i++) {
        cr_expect_eq(fv_value_find(entry, "target")->integer, i);
        cr_expect_str_eq(text(entry, "target_name"), labels[i]);
    }
}

Test(cli_test_cli_explain, a_source_is_images_or_a_data_set) {
    make_data();
    fails(cli_run("explain %s --out %s", cli_path("model"), cli_path("maps")), 2, "no images");
    fails(cli_run("explain %s %s --data-dir %s --out %s", cli_path("model"), cli_path("a/one.png"),
                  cli_path("data"), cli_path("maps")),
          2, "give one of them");
    fails(cli_run("explain %s %s --out %s --target @label", cli_path("model"),
                  cli_path("a/one.png"), cli_path("maps")),
          2, "@label needs --data-dir");
}

static ino_t inode(const char *name) {
    char path[512];
    struct stat info;

    snprintf(path, sizeof path, "%s/%s_gradient_x_input.safetensors", cli_path("maps"), name);
    cr_assert_eq(stat(path, &info), 0, "%s", path);
    return info.st_ino;
}

/* What answers the same question is kept, anything else is made again. */
Test(cli_test_cli_explain, resume_keeps_what_is_done) {
    make_data();
    explain_data(0, "--json");
    char *first = strdup(cli_out);
    const ino_t kept = inode("p3"), removed = inode("p4");
    unlink(cli_path("maps/p4_gradient_x_input.safetensors"));
    explain_data(0, "--resume auto --json");
    cr_expect_str_eq(cli_out, first, "the same results, computed or read");
    free(first);
    cr_expect_eq(inode("p3"), kept);
    cr_expect_neq(inode("p4"), removed);
    explain_data(0, "--resume auto --target 2");
    cr_expect_neq(inode("p3"), kept, "another class");
    fails(cli_run("explain %s %s --out %s --resume elsewhere", cli_path("model"),
                  cli_path("a/one.png"), cli_path("maps")),
          2, "only auto");
}

/* ---- several maps in one picture ---- */

static uint8_t *bytes_of(const char *path, size_t *n) {
    uint8_t *bytes = NULL;

    cr_assert_eq(fv_file_read(path, 1 << 26, &bytes, n), FV_OK, "%s", fv_error_message());
    return bytes;
}

static void expect_same_file(const char *a, const char *b) {
    size_t n_a, n_b;
    uint8_t *x = bytes_of(a, &n_a), *y = bytes_of(b, &n_b);

    cr_expect(n_a == n_b && memcmp(x, y, n_a) == 0, "%s and %s differ", a, b);
    fv_free(x);
    fv_free(y);
}

/* Ten images of two methods: whatever was computed in this call, read back or in which pass. */
Test(cli_test_cli_explain, grids_and_the_sheet_do_not_depend_on_how_maps_came) {
    const char *const command =
        "explain %s --data-dir %s --out %s --method lrp,gradient_x_input %s";
    char path[256];

    make_data();
    cr_assert_eq(cli_run(command, cli_path("model"), cli_path("data"), cli_path("maps"), "--json"),
                 0, "%s", cli_err);
    const fv_value *list = cli_json();
    cr_assert(list && list->count == 20, "%s", cli_out);
    const fv_value *entry = list->first;
    for (int i = 0; entry; entry = entry->next, i++) {
        snprintf(path, sizeof path, "%s/p%d_grid.png", cli_path("maps"), i / 2);
        cr_expect_str_eq(text(entry, "grid"), path, "one grid for both methods");
        cr_expect(fv_file_exists(path));
    }
    cr_assert_eq(cli_run(command, cli_path("model"), cli_path("data"), cli_path("other"),
                         "--method gradient_x_input --batch-size 3 --json"),
                 0, "%s", cli_err);
    list = cli_json();
    cr_assert(list && list->count == 10, "%s", cli_out);
    cr_expect_eq(fv_value_find(list->first, "grid")->kind, FV_VALUE_NULL, "one method");
    cr_expect_not(fv_file_exists(cli_path("other/p3_grid.png")));
    cr_expect(fv_file_exists(cli_path("other/sheet.png")), "ten images");
    cr_assert_eq(cli_run(command, cli_path("model"), cli_path("data"), cli_path("other"),
                         "--resume auto --batch-size 3"),
                 0, "%s", cli_err);
    cr_expect_not_null(strstr(cli_out, "other/sheet.png"), "%s", cli_out);
    expect_same_file(cli_path("maps/p3_grid.png"), cli_path("other/p3_grid.png"));
    expect_same_file(cli_path("maps/sheet.png"), cli_path("other/sheet.png"));
}

/* More images than the sheet takes: it is the sheet of the first 16. */
Test(cli_test_cli_explain, the_sheet_takes_the_first_images) {
    char path[256];

    for (int i = 0; i < 18; i++) {
        snprintf(path, sizeof path, "%s/many/p%02d.png", cli_path("."), i);
        test_write_picture(path, 32, 32, (uint8_t)(10 * i));
    }
    cr_assert_eq(cli_run("explain %s %s --count 16 --out %s --method lrp", cli_path("model"),
                         cli_path("many"), cli_path("maps")),
                 0, "%s", cli_err);
    cr_assert_eq(cli_run("explain %s %s --out %s --method lrp", cli_path("model"), cli_path("many"),
                         cli_path("other")),
                 0, "%s", cli_err);
    expect_same_file(cli_path("maps/sheet.png"), cli_path("other/sheet.png"));
    cr_assert_eq(cli_run("explain %s %s/p03.png --out %s --method lrp", cli_path("model"),
                         cli_path("many"), cli_path("third")),
                 0, "%s", cli_err);
    cr_expect_not(fv_file_exists(cli_path("third/sheet.png")), "one image");
}

Test(cli_test_cli_explain, looks_are_chosen_and_recorded) {
    fv_safetensors *file = NULL;

    cr_assert_eq(cli_run("explain %s %s --out %s --colormap coldnhot --normalise mass:0.9 "
                         "--shared-scale",
                         cli_path("model"), cli_path("a/one.png"), cli_path("maps")),
                 0, "%s", cli_err);
    cr_assert_eq(fv_safetensors_open(cli_path("maps/one_lrp.safetensors"), &file), FV_OK);
    const char *parameters = fv_safetensors_metadata(file, "parameters");
    cr_expect_not_null(strstr(parameters, "\"colormap\":\"coldnhot\""), "%s", parameters);
    cr_expect_not_null(strstr(parameters, "\"normalise\":\"mass:0.9\""), "%s", parameters);
    cr_expect_not_null(strstr(parameters, "\"shared_scale\":true"), "%s", parameters);
    fv_safetensors_close(file);
    cr_expect(fv_file_exists(cli_path("maps/one_grid.png")));
    cr_expect_not(fv_file_exists(cli_path("maps/sheet.png")), "one image");
}

Test(cli_test_cli_explain, bad_images_are_left_out_when_allowed) {
    make_data();
    test_write(cli_path("data/validation/eel/p4.jpg"), "torn", 4);
    explain_data(1, "--json");
    cr_expect_not_null(strstr(cli_err, "p4.jpg"), "%s", cli_err);
    cr_expect_not_null(cli_json(), "the list is whole: %s", cli_out);
    explain_data(0, "--max-bad 1 --json");
    cr_expect_not_null(strstr(cli_err, "p4.jpg"), "%s", cli_err);
    cr_assert_eq(cli_json()->count, 9);
}

Test(cli_test_cli_explain, help_lists_the_methods) {
    cr_assert_eq(cli_run("explain --help"), 0, "%s", cli_err);
    for (int i = 0; fv_saliency_at(i); i++)
        cr_expect_not_null(strstr(cli_out, fv_saliency_at(i)->name), "%s", fv_saliency_at(i)->name);
}
