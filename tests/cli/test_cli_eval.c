/* fovea eval and fovea predict: numbers of a checkpoint, and what is said of bad input. */
#include "tests/support/run_cli.h"

#include "core/alloc.h"
#include "core/file.h"
#include "core/safetensors.h"
#include "data/exif.h"
#include "data/synth.h"
#include "eval/evaluate.h"
#include "models/weights.h"
#include "tests/golden/images_generated.h"
#include "tests/support/generator.h"
#include "tests/support/picture.h"

#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define VALIDATION 12

static const char *const names[] = {"disc", "square", "triangle"};

/* A checkpoint folder "model" of mini_vit, and a data set "set" of its classes. */
static void enter(void) {
    const fv_synth_config synth = {
        .n_classes = 3, .size_px = 40, .n_train = 3, .n_val = VALIDATION, .seed = 1};
    const fv_model_config config = {.name = "mini_vit", .num_classes = 3};
    fv_model *model;

    cli_enter();
    for (int c = 0; c < 3; c++) cr_assert_str_eq(names[c], fv_synth_class_name(c));
    cr_assert_eq(fv_synth_write(cli_path("set"), &synth, false, NULL), FV_OK);
    cr_assert_eq(fv_model_create(&config, false, &model), FV_OK, "%s", fv_error_message());
    fv_generate_params(&model->params, "cli");
    cr_assert_eq(fv_model_save(model, names, cli_path("model")), FV_OK, "%s", fv_error_message());
    fv_model_destroy(model);
}

TestSuite(cli_eval, .init = enter, .fini = cli_leave);

static void fails(int status, int wanted, const char *part) {
    cr_assert_eq(status, wanted, "%d: %s%s", status, cli_out, cli_err);
    cr_assert(cli_one_error(part), "expected '%s', got:\n%s%s", part, cli_out, cli_err);
}

static double number(const fv_value *map, const char *key) {
    const fv_value *v = fv_value_find(map, key);

    cr_assert(v && (v->kind == FV_VALUE_INT || v->kind == FV_VALUE_REAL), "%s", key);
    return v->real;
}

/* eval of "model" on "set" with more arguments */
static int eval(const char *more) {
    return cli_run("eval %s --data-dir %s %s", cli_path("model"), cli_path("set"), more);
}

/* What the library says of the same. */
static fv_evaluate_result expected(double crop_pct) {
    fv_preprocess pre = {.img_h = 32, .img_w = 32, .crop_pct = crop_pct};
    fv_evaluate_result result;
    fv_model_meta meta;
    fv_model *model;
    fv_dataset *dataset;

    cr_assert_eq(fv_model_open(cli_path("model"), NULL, false, &model, &meta), FV_OK, "%s",
                 fv_error_message());
    cr_assert_eq(fv_dataset_open(cli_path("set"), "validation", NULL, &dataset), FV_OK);
    memcpy(pre.mean, model->input.mean, sizeof pre.mean);
    memcpy(pre.std, model->input.std, sizeof pre.std);
    cr_assert_eq(fv_interpolation_parse(model->input.interpolation, &pre.interpolation), FV_OK);
    if (crop_pct == 0.0) pre.crop_pct = model->input.crop_pct;
    const fv_evaluator_config config = {
        .model = model, .dataset = dataset, .preprocess = &pre, .batch_size = 4};
    cr_assert_eq(fv_evaluate(&config, NULL, &result), FV_OK, "%s", fv_error_message());
    fv_dataset_destroy(dataset);
    fv_model_destroy(model);
    fv_model_meta_destroy(&meta);
    return result;
}

Test(cli_eval, json_holds_the_library_s_numbers) {
    const fv_evaluate_result wanted = expected(0.0);

    cr_assert_eq(eval("--json --batch-size 5 --workers 2"), 0, "%s", cli_err);
    const fv_value *v = cli_json();
    cr_assert_not_null(v, "%s", cli_out);
    cr_assert_eq(number(v, "count"), VALIDATION);
    cr_assert_eq(number(v, "top1"), wanted.top1);
    cr_assert_eq(number(v, "top5"), 100.0);
    cr_assert_eq(number(v, "loss"), wanted.loss);
    cr_assert_eq(number(v, "ece"), wanted.ece);
    cr_assert_gt(number(v, "images_per_second"), 0.0);
}

Test(cli_eval, text_alias_split_and_pixel_options) {
    cr_assert_eq(eval(""), 0, "%s", cli_err);
    cr_assert_not_null(strstr(cli_out, " * Acc@1 "), "%s", cli_out);
    cr_assert_eq(cli_run("validate %s --data-dir %s --split train --json", cli_path("model"),
                         cli_path("set")),
                 0, "%s", cli_err);
    cr_assert_eq(number(cli_json(), "count"), 3);
    const fv_evaluate_result cropped = expected(0.5);
    cr_assert_neq(cropped.loss, expected(0.0).loss);
    cr_assert_eq(eval("--json --crop-pct 0.5"), 0, "%s", cli_err);
    cr_assert_eq(number(cli_json(), "loss"), cropped.loss);
}

Test(cli_eval, logits_are_written_whole) {
    fv_safetensors *st;

    cr_assert_eq(eval("--json --logits \"$PWD\"/none/logits"), 1);
    cr_assert(cli_one_error("none/logits"), "%s", cli_err);
    cr_assert_eq(cli_run("eval %s --data-dir %s --logits %s --json", cli_path("model"),
                         cli_path("set"), cli_path("logits")),
                 0, "%s", cli_err);
    cr_assert_str_eq(fv_value_find(cli_json(), "logits")->text, cli_path("logits"));
    cr_assert_eq(fv_safetensors_open(cli_path("logits"), &st), FV_OK, "%s", fv_error_message());
    const fv_safetensors_entry *e = fv_safetensors_find(st, "logits");
    cr_assert(e && e->shape.rank == 2 && e->shape.dim[0] == VALIDATION && e->shape.dim[1] == 3);
    cr_assert_not_null(strstr(fv_safetensors_metadata(st, "names"), "[\"disc/disc_"));
    fv_safetensors_close(st);
}

/* Size and inode tell whether somebody wrote to it. */
Test(cli_eval, a_failure_leaves_earlier_logits_alone) {
    struct stat before, after;
    char logits[128], more[256];

    snprintf(logits, sizeof logits, "%s", cli_write("logits", "old", 3));
    cr_assert_eq(stat(logits, &before), 0);
    snprintf(more, sizeof more, "--logits %s --split nowhere", logits);
    fails(eval(more), 2, "nowhere");
    cr_assert_eq(fv_folder_remove(cli_path("set/validation/disc")), FV_OK);
    mkdir(cli_path("set/validation/disc"), 0777);
    cli_write("set/validation/disc/bad.jpg", "text", 4);
    snprintf(more, sizeof more, "--logits %s", logits);
    fails(eval(more), 1, "bad.jpg");
    cr_assert_eq(stat(logits, &after), 0);
    cr_assert(before.st_ino == after.st_ino && after.st_size == 3);
    snprintf(more, sizeof more, "--logits %s/under_a_file", logits);
    fails(eval(more), 1, "under_a_file");
}

Test(cli_eval, paths_that_are_not_there) {
    fails(cli_run("eval %s --data-dir %s", cli_path("none"), cli_path("set")), 1, "none");
    fails(cli_run("eval %s --data-dir %s", cli_path("model"), cli_path("none")), 1,
          "none: no such folder");
    fails(cli_run("eval %s --data-dir %s", cli_path("set"), cli_path("set")), 1, "set");
    mkdir(cli_path("empty"), 0777);
    fails(cli_run("eval %s --data-dir %s", cli_path("model"), cli_path("empty")), 1,
          "no class folders");
    fails(cli_run("eval %s --use-ema --data-dir %s", cli_path("model"), cli_path("set")), 1,
          "model_ema.safetensors");
}

Test(cli_eval, usage) {
    fails(cli_run("eval"), 2, "too few arguments");
    fails(cli_run("eval %s", cli_path("model")), 2, "--data-dir");
    fails(eval("--batch-size 0"), 2, "--batch-size");
    fails(eval("--batch-sze 4"), 2, "did you mean '--batch-size'?");
    fails(eval("--crop-pct 2"), 2, "--crop-pct");
    fails(eval("--interpolation nearest"), 2, "--interpolation");
    fails(eval("--std 0 0 0"), 2, "--std");
    fails(eval("--model davit_tinny"), 2, "davit_tinny");
    fails(eval("--lr 1"), 2, "--lr is not an option of eval");
}

/* The checkpoint's header is judged before the missing --data-dir is asked for. */
Test(cli_eval, hostile_checkpoints) {
    static const char huge[] = "\xff\xff\xff\xff\xff\xff\xff\x7f{}";
    static const char json[] = "\x08\0\0\0\0\0\0\0{\"a\":1,,";
    static const char range[] = "\x3c\0\0\0\0\0\0\0{\"a\":{\"dtype\":\"F32\",\"shape\":[9],"
                                "\"data_offsets\":[0,36]}}        ";
    const char *weights = cli_path("model/model.safetensors");
    uint8_t *bytes;
    size_t n;

    cr_assert_eq(fv_file_read(weights, 1 << 24, &bytes, &n), FV_OK);
    const struct {
        const void *bytes;
        size_t n;
    } cases[] = {
        {"", 0},        {"abc", 3},  {huge, sizeof huge - 1}, {json, 16}, {range, sizeof range - 1},
        {bytes, n - 1}, {bytes, 100}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cli_write("model/model.safetensors", cases[i].bytes, cases[i].n);
        fails(cli_run("eval %s", cli_path("model")), 1, "model.safetensors");
        fails(cli_run("predict %s none.jpg", cli_path("model")), 1, "model.safetensors");
        fails(cli_run("summary %s", cli_path("model")), 1, "model.safetensors");
    }
    fv_free(bytes);
}

Test(cli_eval, weights_of_another_shape) {
    const float value[4] = {0};
    const fv_safetensors_item item = {
        "head.bias", {(void *)(uintptr_t)value, FV_F32, fv_shape_of(1, (int64_t)4)}};

    cr_assert_eq(fv_safetensors_save(cli_path("model/model.safetensors"), &item, 1, NULL, 0),
                 FV_OK);
    fails(eval(""), 1, "head.bias");
}

Test(cli_eval, bad_config_files) {
    static const char *const cases[] = {"",
                                        "{",
                                        "[]",
                                        "{\"architecture\": \"vit_giant\"}",
                                        "{\"architecture\": 3}",
                                        "{}",
                                        "{\"architecture\": \"mini_vit\", \"num_classes\": -4}"};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cli_write("model/config.json", cases[i], strlen(cases[i]));
        fails(eval(""), 1, "config.json");
    }
}

Test(cli_eval, a_bare_file_needs_a_model_name) {
    const char *weights = cli_path("bare.safetensors");

    cr_assert_eq(rename(cli_path("model/model.safetensors"), weights), 0);
    fails(cli_run("eval %s --data-dir %s", weights, cli_path("set")), 2, "--model");
    cr_assert_eq(cli_run("eval %s --model mini_vit --data-dir %s --json", weights, cli_path("set")),
                 0, "%s", cli_err);
    cr_assert_eq(number(cli_json(), "count"), VALIDATION);
}

Test(cli_eval, class_names_must_agree) {
    cr_assert_eq(rename(cli_path("set/train/square"), cli_path("set/train/sqare")), 0);
    cr_assert_eq(rename(cli_path("set/validation/square"), cli_path("set/validation/sqare")), 0);
    fails(eval(""), 1, "class 1 is 'square' in the checkpoint");
    cr_assert_not_null(strstr(cli_err, "'sqare'"), "%s", cli_err);
    mkdir(cli_path("set/train/zebra"), 0777);
    cr_assert_eq(rename(cli_path("set/train/sqare"), cli_path("set/train/square")), 0);
    cr_assert_eq(rename(cli_path("set/validation/sqare"), cli_path("set/validation/square")), 0);
    fails(eval(""), 1, "'zebra'");
}

Test(cli_eval, bad_images) {
    const char *const class_names[] = {"disc", "square", "triangle"};

    cli_write("set/validation/disc/a_bad.jpg", "", 0);
    fails(eval("--json"), 1, "a_bad.jpg");
    cr_assert_eq(eval("--json --max-bad 1"), 0, "%s", cli_err);
    cr_assert_not_null(strstr(cli_err, "a_bad.jpg"), "named: %s", cli_err);
    cr_assert_eq(number(cli_json(), "count"), VALIDATION);
    cr_assert_eq(number(cli_json(), "bad"), 1);
    for (int c = 0; c < 3; c++) {
        char folder[64];
        snprintf(folder, sizeof folder, "set/validation/%s", class_names[c]);
        cr_assert_eq(fv_folder_remove(cli_path(folder)), FV_OK);
        mkdir(cli_path(folder), 0777);
    }
    fails(eval(""), 1, "no images");
}

/* ---- predict ---- */

static const char *image_of(const char *class_name) {
    static char path[256];
    char folder[64];
    fv_names files;

    snprintf(folder, sizeof folder, "set/validation/%s", class_name);
    cr_assert_eq(fv_folder_list(cli_path(folder), &files), FV_OK);
    snprintf(path, sizeof path, "%s/%s", cli_path(folder), files.name[0]);
    fv_names_free(&files);
    return path;
}

Test(cli_eval, predict_names_classes) {
    double sum = 0.0, last = 1.0;

    cr_assert_eq(cli_run("predict %s %s %s --json", cli_path("model"), image_of("square"),
                         cli_path("set/validation/disc")),
                 0, "%s", cli_err);
    const fv_value *list = cli_json();
    cr_assert_not_null(list, "%s", cli_out);
    cr_assert_eq(list->count, 1 + VALIDATION / 3, "an image and a folder");
    cr_assert_str_eq(fv_value_find(list->first, "image")->text, image_of("square"));
    const fv_value *top = fv_value_find(list->first, "top");
    cr_assert_eq(top->count, 3, "there are three classes");
    for (const fv_value *v = top->first; v; v = v->next) {
        const int64_t index = (int64_t)number(v, "index");
        cr_assert_str_eq(fv_value_find(v, "class")->text, names[index]);
        cr_assert_leq(number(v, "probability"), last);
        last = number(v, "probability");
        sum += last;
    }
    cr_assert_float_eq(sum, 1.0, 1e-12);
    cr_assert_eq(cli_run("predict %s %s --topk 1", cli_path("model"), image_of("square")), 0);
    cr_assert_not_null(strstr(cli_out, "%"), "%s", cli_out);
}

Test(cli_eval, predict_names_bad_images) {
    fails(cli_run("predict %s", cli_path("model")), 2, "too few arguments");
    fails(cli_run("predict %s %s --json", cli_path("model"), cli_path("none.png")), 1, "none.png");
    fails(cli_run("predict %s %s", cli_path("model"), cli_write("text.png", "text", 4)), 1,
          "text.png");
    fails(cli_run("predict %s %s", cli_path("model"), cli_write("zero.jpg", "", 0)), 1, "zero.jpg");
    fails(cli_run("predict %s %s --topk 0", cli_path("model"), image_of("disc")), 2, "--topk");
}

/* ---- formats and orientation ---- */

/* "<set>/validation/disc/a.jpg", a picture stored on its side with a tag that says so, and of the other set the
 * same as it is to be shown, a.png. */
static void write_turned(void) {
    static const uint8_t app1[] = {0xFF, 0xE1, 0, 34, 'E', 'x', 'i', 'f', 0,    0, 'I', 'I',
                                   42,   0,    8, 0,  0,   0,   1,   0,   0x12, 1, 3,   0,
                                   1,    0,    0, 0,  6,   0,   0,   0,   0,    0, 0,   0};
    fv_image *stored = test_pattern(30, 45), *decoded, scratch = {0};
    uint8_t *jpeg, file[8192];
    size_t n;

    cr_assert_eq(fv_image_encode_jpeg(stored, 90, &jpeg, &n), FV_OK);
    cr_assert(n + sizeof app1 <= sizeof file);
    memcpy(file, jpeg, 2);
    memcpy(file + 2, app1, sizeof app1);
    memcpy(file + 2 + sizeof app1, jpeg + 2, n - 2);
    cr_assert_eq(fv_image_decode(jpeg, n, &decoded), FV_OK);
    cr_assert_eq(fv_image_orient(decoded, 6, &scratch), FV_OK);
    test_write(cli_path("stored/validation/disc/a.jpg"), file, n + sizeof app1);
    test_write(cli_path("stored/validation/square/.keep"), "", 0);
    test_write(cli_path("stored/validation/triangle/.keep"), "", 0);
    test_write(cli_path("shown/validation/disc/.keep"), "", 0);
    test_write(cli_path("shown/validation/square/.keep"), "", 0);
    test_write(cli_path("shown/validation/triangle/.keep"), "", 0);
    cr_assert_eq(fv_image_save_png(decoded, cli_path("shown/validation/disc/a.png")), FV_OK);
    fv_free(jpeg);
    fv_image_destroy(stored);
    fv_image_destroy(decoded);
    fv_image_release(&scratch);
}

static double loss_of(const char *set, const char *more) {
    cr_assert_eq(cli_run("eval %s --data-dir %s --json %s", cli_path("model"), cli_path(set), more),
                 0, "%s", cli_err);
    return number(cli_json(), "loss");
}

static double best_of(const char *image, const char *more) {
    cr_assert_eq(cli_run("predict %s %s --json %s", cli_path("model"), cli_path(image), more), 0,
                 "%s", cli_err);
    return number(fv_value_find(cli_json()->first, "top")->first, "probability");
}

Test(cli_eval, exif_orientation_is_applied_on_request_only) {
    write_turned();
    const double loss = loss_of("shown", ""), best = best_of("shown/validation/disc/a.png", "");
    cr_expect_neq(loss_of("stored", ""), loss);
    cr_expect_eq(loss_of("stored", "--exif-orientation"), loss);
    cr_expect_neq(best_of("stored/validation/disc/a.jpg", ""), best);
    cr_expect_eq(best_of("stored/validation/disc/a.jpg", "--exif-orientation"), best);
}

/* Files of every format below names of other formats: content decides. */
Test(cli_eval, a_folder_of_every_format) {
    static const char *const kinds[] = {"jpeg_420", "png_rgb8", "bmp_24",   "gif_part",
                                        "pnm_6",    "psd_rgb",  "tga_rgb16"};
    static const char *const suffixes[] = {"png", "jpg", "gif", "tga", "bmp", "JPEG", "ppm"};
    int written = 0;

    for (size_t i = 0; i < sizeof generated_files / sizeof *generated_files; i++)
        for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
            char name[64];
            if (strcmp(generated_files[i].name, kinds[k]) != 0) continue;
            snprintf(name, sizeof name, "mixed/%s.%s", kinds[k], suffixes[k]);
            test_write(cli_path(name), generated_files[i].bytes, generated_files[i].n_bytes);
            written++;
        }
    cr_assert_eq(written, 7);
    test_write(cli_path("mixed/readme.txt"), "no image", 8);
    cr_assert_eq(cli_run("predict %s %s --json", cli_path("model"), cli_path("mixed")), 0, "%s",
                 cli_err);
    cr_expect_eq(cli_json()->count, 7);
    test_write(cli_path("mixed/z.webp"), "RIFF\0\0\0\0WEBPVP8 ", 16);
    fails(cli_run("predict %s %s", cli_path("model"), cli_path("mixed/z.webp")), 1,
          "z.webp: WebP image; formats that are read: jpeg png bmp gif pnm psd tga");
}
