/* fovea data: sets that are made, counted and checked, and what is said of bad ones. */
#include "tests/support/run_cli.h"

#include "core/alloc.h"
#include "core/file.h"
#include "core/safetensors.h"
#include "data/image.h"

#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

TestSuite(cli_data, .init = cli_enter, .fini = cli_leave);

static void make_set(void) {
    cr_assert_eq(
        cli_run("data synth --out %s --classes 3 --size 32 --train 12 --val 6", cli_path("set")), 0,
        "%s", cli_err);
    cr_assert_str_eq(cli_err, "");
}

static int64_t integer(const fv_value *map, const char *key) {
    const fv_value *v = fv_value_find(map, key);

    cr_assert(v && v->kind == FV_VALUE_INT, "%s", key);
    return v->integer;
}

static void fails(int status, int wanted, const char *part) {
    cr_assert_eq(status, wanted, "%d: %s%s", status, cli_out, cli_err);
    cr_assert(cli_one_error(part), "expected '%s', got:\n%s%s", part, cli_out, cli_err);
}

/* The first image of a class in the validation split. */
static const char *an_image(const char *class_name) {
    static char path[256];
    fv_names names;
    char folder[128];

    snprintf(folder, sizeof folder, "set/validation/%s", class_name);
    cr_assert_eq(fv_folder_list(cli_path(folder), &names), FV_OK);
    cr_assert_gt(names.count, 0);
    snprintf(path, sizeof path, "%s/%s", folder, names.name[0]);
    fv_names_free(&names);
    return path;
}

Test(cli_data, synth_reports_and_info_counts) {
    make_set();
    cr_assert_not_null(strstr(cli_out, "12 training and 6 validation images"), "%s", cli_out);
    cr_assert_eq(cli_run("data info %s --json", cli_path("set")), 0, "%s", cli_err);
    const fv_value *info = cli_json();
    cr_assert_not_null(info, "%s", cli_out);
    cr_assert_eq(integer(info, "train"), 12);
    cr_assert_eq(integer(info, "validation"), 6);
    cr_assert_eq(integer(info, "classes"), 3);
    cr_assert_eq(fv_value_find(info, "class_names")->count, 3);
    const fv_value *split = fv_value_find(fv_value_find(info, "splits"), "validation");
    cr_assert_eq(integer(split, "count"), 6);
    cr_assert_eq(integer(split, "bad"), 0);
    cr_assert_eq(integer(split, "with_masks"), 6);
    cr_assert_eq(integer(fv_value_find(split, "per_class"), "disc"), 2);
    cr_assert_eq(integer(fv_value_find(split, "height"), "max"), 32);
    cr_assert_eq(cli_run("data info %s", cli_path("set")), 0, "%s", cli_err);
    cr_assert_not_null(strstr(cli_out, "validation: 6 images"), "%s", cli_out);
}

Test(cli_data, synth_plants_a_shortcut) {
    cr_assert_eq(
        cli_run("data synth --out %s --classes 3 --size 32 --train 12 --val 6 --shortcut 1 "
                "--json",
                cli_path("set")),
        0, "%s", cli_err);
    const fv_value *v = cli_json();
    cr_assert_not_null(v, "%s", cli_out);
    cr_expect_str_eq(fv_value_find(v, "shortcut")->text, "square");
    cr_assert_eq(cli_run("data info %s --json", cli_path("set")), 0, "%s", cli_err);
    const fv_value *splits = fv_value_find(cli_json(), "splits");
    cr_expect_eq(integer(fv_value_find(splits, "validation"), "with_markers"), 2);
    cr_expect_eq(integer(fv_value_find(splits, "train"), "with_markers"), 0);
    fails(cli_run("data synth --out %s --classes 3 --shortcut 3", cli_path("other")), 2,
          "class 3 of 3");
}

Test(cli_data, synth_as_json_tells_whether_it_wrote) {
    make_set();
    cr_assert_eq(cli_run("data synth --out %s --classes 3 --size 32 --train 12 --val 6 --json",
                         cli_path("set")),
                 0, "%s", cli_err);
    const fv_value *v = cli_json();
    cr_assert_not_null(v, "%s", cli_out);
    cr_assert_eq(integer(v, "train"), 12);
    cr_assert_eq(integer(v, "validation"), 6);
    cr_assert_eq(integer(v, "classes"), 3);
    cr_assert_eq(fv_value_find(v, "written")->integer, 0);
}

Test(cli_data, another_set_is_not_overwritten) {
    struct stat before, after;

    make_set();
    cr_assert_eq(stat(cli_path("set/synth.json"), &before), 0);
    fails(cli_run("data synth --out %s --classes 4 --size 32 --train 12 --val 6", cli_path("set")),
          2, "other parameters");
    cr_assert_eq(stat(cli_path("set/synth.json"), &after), 0);
    cr_assert_eq(before.st_ino, after.st_ino);
    cr_assert_eq(cli_run("data info %s --json", cli_path("set")), 0);
    cr_assert_eq(integer(cli_json(), "classes"), 3);
}

Test(cli_data, verify_names_every_kind_of_damage) {
    make_set();
    cr_assert_eq(cli_run("data verify %s", cli_path("set")), 0, "%s", cli_err);

    char name[256];
    snprintf(name, sizeof name, "%s", an_image("disc"));
    uint8_t *bytes;
    size_t n;
    cr_assert_eq(fv_file_read(cli_path(name), 1 << 20, &bytes, &n), FV_OK);
    const struct {
        const char *what;
        const void *bytes;
        size_t n;
    } damage[] = {{"empty", "", 0}, {"text", "not an image\n", 13}, {"truncated", bytes, n / 2}};
    for (size_t i = 0; i < sizeof damage / sizeof *damage; i++) {
        cli_write(name, damage[i].bytes, damage[i].n);
        cr_assert_eq(cli_run("data verify %s", cli_path("set")), 1, "%s", damage[i].what);
        cr_assert_not_null(strstr(cli_err, "1 bad image, first: "), "%s", cli_err);
        cr_assert_not_null(strstr(cli_err, name), "%s: %s", damage[i].what, cli_err);
        cr_assert_eq(cli_run("data verify %s --json", cli_path("set")), 1);
        const fv_value *v = cli_json();
        cr_assert_not_null(v, "%s", cli_out);
        cr_assert_eq(integer(fv_value_find(fv_value_find(v, "splits"), "validation"), "bad"), 1);
    }
    fv_free(bytes);
}

Test(cli_data, verify_lists_every_bad_file) {
    make_set();
    char names[2][256];
    static const char *const classes[] = {"disc", "square"};
    for (int i = 0; i < 2; i++) {
        snprintf(names[i], sizeof names[i], "%s", an_image(classes[i]));
        cli_write(names[i], "no image", 8);
    }
    cr_assert_eq(cli_run("data verify %s", cli_path("set")), 1);
    for (int i = 0; i < 2; i++) cr_assert_not_null(strstr(cli_out, names[i]), "%s", cli_out);
    cr_assert_eq(cli_run("data verify %s --json", cli_path("set")), 1);
    const fv_value *splits = fv_value_find(cli_json(), "splits");
    const fv_value *bad = fv_value_find(fv_value_find(splits, "validation"), "bad_files");
    cr_assert(bad && bad->count == 2, "%s", cli_out);
    cr_expect_not_null(strstr(bad->first->text, names[0]), "%s", bad->first->text);
    cr_expect_not_null(strstr(bad->first->next->text, names[1]));
    cr_expect_eq(fv_value_find(fv_value_find(splits, "train"), "bad_files")->count, 0);
}

Test(cli_data, a_class_map_and_a_subset_choose) {
    make_set();
    const char *map = cli_write("map.txt", "triangle\ndisc\n", 14);
    cr_assert_eq(cli_run("data info %s --class-map %s --subset 3 --json", cli_path("set"), map), 0,
                 "%s", cli_err);
    const fv_value *v = cli_json();
    cr_assert_eq(integer(v, "classes"), 2);
    cr_assert_str_eq(fv_value_find(v, "class_names")->first->text, "triangle");
    cr_assert_eq(integer(v, "train"), 6);
    cr_assert_eq(integer(v, "validation"), 4);
    fails(cli_run("data info %s --class-map %s", cli_path("set"), cli_path("absent")), 1, "absent");
    fails(cli_run("data info %s --subset 2.5", cli_path("set")), 2, "subset '2.5'");
    fails(cli_run("data info %s --class-order size", cli_path("set")), 2, "natural");
}

Test(cli_data, export_writes_batches_and_a_picture) {
    fv_safetensors *st = NULL;
    fv_image *picture = NULL;

    make_set();
    char config[128];
    snprintf(config, sizeof config, "%s",
             cli_write("c.yaml",
                       "model: mini_vit\nimg_size: 32\nmodel_kwargs: {patch_size: 8}\n"
                       "batch_size: 4\nlr: 0.1\nepochs: 9\n",
                       78));
#define EXPORT "data export -c %s --data-dir %s --epoch 1 --steps 2 --workers 1 --out %s "
    cr_assert_eq(cli_run(EXPORT "--json", config, cli_path("set"), cli_path("b.safetensors")), 0,
                 "%s", cli_err);
    cr_assert_eq(integer(cli_json(), "count"), 8);
    cr_assert_eq(fv_safetensors_open(cli_path("b.safetensors"), &st), FV_OK);
    const fv_safetensors_entry *pixels = fv_safetensors_find(st, "pixels");
    cr_assert(pixels && pixels->numel == 8 * 32 * 32 * 3 && pixels->shape.dim[0] == 8);
    cr_assert_eq(fv_safetensors_find(st, "labels")->numel, 8);
    cr_assert_eq(fv_safetensors_find(st, "indices")->numel, 8);
    cr_assert_null(fv_safetensors_find(st, "targets"));
    cr_assert_not_null(strstr(fv_safetensors_metadata(st, "names"), "disc/"));
    cr_assert_str_eq(fv_safetensors_metadata(st, "epoch"), "1");
    fv_safetensors_close(st);
    cr_assert_eq(fv_image_load(cli_path("b.png"), &picture), FV_OK);
    cr_assert(picture->width > 8 * 96 && picture->height > 96);
    fv_image_destroy(picture);

    cr_assert_eq(
        cli_run(EXPORT "--mixup 0.8", config, cli_path("set"), cli_path("mixed.safetensors")), 0,
        "%s", cli_err);
    cr_assert_eq(fv_safetensors_open(cli_path("mixed.safetensors"), &st), FV_OK);
    cr_assert_eq(fv_safetensors_find(st, "targets")->numel, 8 * 3);
    fv_safetensors_close(st);
    fails(cli_run(EXPORT "--steps 4", config, cli_path("set"), cli_path("b.safetensors")), 2,
          "updates 0..3 of an epoch of 3");
    fails(cli_run("data export --data-dir %s --out %s", cli_path("set"), cli_path("x")), 2,
          "--model");
    fails(cli_run("data export --model mini_vit --data-dir x"), 2, "--out");
}

/* The same set in a folder and in an archive of the tar program gives the same batches. */
Test(cli_data, tar_archives_hold_what_the_folder_holds) {
    static float expected[8 * 32 * 32 * 3], pixels[8 * 32 * 32 * 3];
    static const char *const formats[] = {"gnu", "pax", "ustar"};
    char deep[160];
    fv_safetensors *st = NULL;

    make_set();
    memset(deep, 'd', 120); /* longer than the name field; ustar cuts at a slash */
    deep[60] = '/';
    deep[120] = 0;
    char folder[256], renamed[300];
    snprintf(folder, sizeof folder, "set/train/disc/%s", deep);
    cr_assert_eq(fv_folder_create(cli_path(folder)), FV_OK);
    snprintf(renamed, sizeof renamed, "%s/set/train/disc/*.*", cli_path("."));
    cr_assert_eq(cli_run_program("sh", "-c 'mv %s %s'", renamed, cli_path(folder)), 0, "%s",
                 cli_err);
#define BATCHES "data export --data-dir %s --model mini_vit --img-size 32 -b 8 --out %s "
    cr_assert_eq(cli_run(BATCHES "--model-kwargs patch_size=8", cli_path("set"), cli_path("e")), 0,
                 "%s", cli_err);
    cr_assert_eq(fv_safetensors_open(cli_path("e"), &st), FV_OK);
    cr_assert_eq(fv_safetensors_read(st, fv_safetensors_find(st, "pixels"), expected), FV_OK);
    fv_safetensors_close(st);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(fv_folder_remove(cli_path("shards")), FV_OK);
        cr_assert_eq(fv_folder_create(cli_path("shards/train")), FV_OK);
        cr_assert_eq(fv_folder_create(cli_path("shards/val")), FV_OK);
        cr_assert_eq(cli_run_program("tar",
                                     "--format=%s --sort=name -C %s/train --exclude=boxes.csv "
                                     "-cf %s/train/0.tar .",
                                     formats[i], cli_path("set"), cli_path("shards")),
                     0, "%s", cli_err);
        cr_assert_eq(cli_run_program("tar",
                                     "--format=%s --sort=name -C %s -cf %s/val/0.tar validation",
                                     formats[i], cli_path("set"), cli_path("shards")),
                     0, "%s", cli_err);
        cr_assert_eq(cli_run("data verify %s --json", cli_path("shards")), 0, "%s", cli_err);
        cr_assert_str_eq(fv_value_find(cli_json(), "layout")->text, "tar");
        cr_assert_eq(integer(cli_json(), "train"), 12);
        cr_assert_eq(integer(cli_json(), "validation"), 6);
        cr_assert_eq(
            cli_run(BATCHES "--model-kwargs patch_size=8", cli_path("shards"), cli_path("b")), 0,
            "%s", cli_err);
        cr_assert_eq(fv_safetensors_open(cli_path("b"), &st), FV_OK);
        cr_assert_eq(fv_safetensors_read(st, fv_safetensors_find(st, "pixels"), pixels), FV_OK);
        fv_safetensors_close(st);
        cr_expect_eq(memcmp(pixels, expected, sizeof pixels), 0, "%s", formats[i]);
    }
}

Test(cli_data, missing_and_empty_folders) {
    fails(cli_run("data info %s", cli_path("nothing")), 1, "nothing: no such folder");
    fails(cli_run("data info %s", cli_write("file", "x", 1)), 1, "file: no such folder");
    mkdir(cli_path("empty"), 0777);
    fails(cli_run("data info %s", cli_path("empty")), 1, "no class folders");
    mkdir(cli_path("hollow"), 0777);
    mkdir(cli_path("hollow/train"), 0777);
    mkdir(cli_path("hollow/train/cat"), 0777);
    fails(cli_run("data info %s", cli_path("hollow")), 1, "no images");
}

Test(cli_data, one_split_is_enough) {
    make_set();
    cr_assert_eq(fv_folder_remove(cli_path("set/validation")), FV_OK);
    cr_assert_eq(cli_run("data info %s --json", cli_path("set")), 0, "%s", cli_err);
    const fv_value *info = cli_json();
    cr_assert_eq(integer(info, "train"), 12);
    cr_assert_eq(integer(info, "validation"), 0);
}

Test(cli_data, output_that_cannot_be_written) {
    const char *file = cli_write("file", "keep", 4);
    char text[8] = "";

    fails(cli_run("data synth --out %s/set --train 10 --val 10", file), 1, "file/set");
    fails(cli_run("data synth --out %s --train 10 --val 10", file), 1, "file");
    FILE *stream = fopen(file, "rb");
    cr_assert_eq(fread(text, 1, 8, stream), 4);
    fclose(stream);
    cr_assert_str_eq(text, "keep");
}

Test(cli_data, usage) {
    fails(cli_run("data"), 2, "too few arguments");
    fails(cli_run("data vrify x"), 2, "did you mean 'verify'?");
    fails(cli_run("data info"), 2, "usage: fovea data info DIR");
    fails(cli_run("data synth"), 2, "--out");
    fails(cli_run("data synth x --out y"), 2, "too many arguments");
    fails(cli_run("data synth --out x --classes 1"), 2, "--classes");
    fails(cli_run("data synth --out x --size 1000000"), 2, "--size");
    fails(cli_run("data synth --out x --trian 5"), 2, "did you mean '--train'?");
    fails(cli_run("data info x --classes 3"), 2, "--classes is not an option of data info");
    cr_assert_neq(access("x", F_OK), 0);
}
