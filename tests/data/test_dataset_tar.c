#include "core/alloc.h"
#include "core/file.h"
#include "data/sample.h"
#include "tests/support/alloc_sweep.h"
#include "tests/support/picture.h"
#include "tests/support/tar_writer.h"

#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>

static char root[64], path[128];
static tar_writer tar;

static void enter(void) { test_folder_enter(root); }
static void leave(void) { test_folder_leave(root); }
TestSuite(data_dataset_tar, .init = enter, .fini = leave);

static const char *in_root(const char *name) {
    snprintf(path, sizeof path, "%s/%s", root, name);
    return path;
}

static void add_picture(const char *name, uint8_t level) {
    uint8_t *bytes = NULL;
    size_t n = 0;

    test_write_picture(in_root("one.png"), 4, 6, level);
    cr_assert_eq(fv_file_read(in_root("one.png"), 1 << 20, &bytes, &n), FV_OK);
    tar_add(&tar, '0', name, bytes, n);
    fv_free(bytes);
    cr_assert_eq(remove(in_root("one.png")), 0);
}

static void write_archive(const char *name) {
    tar_end(&tar);
    test_write(in_root(name), tar.bytes, tar.n);
    tar.n = 0;
}

static fv_dataset *opened(const char *split) {
    fv_dataset *ds = NULL;
    cr_assert_eq(fv_dataset_open(root, split, NULL, &ds), FV_OK, "%s", fv_error_message());
    cr_assert_str_eq(ds->layout, "tar");
    return ds;
}

static void refused(const char *split, fv_status status, const char *word) {
    fv_dataset *ds = NULL;
    cr_expect_eq(fv_dataset_open(root, split, NULL, &ds), status, "%s", fv_error_message());
    cr_expect(strstr(fv_error_message(), word), "'%s' is missing: %s", word, fv_error_message());
    cr_expect_null(ds);
}

typedef struct wanted {
    const char *name;
    int32_t label;
    uint8_t level;
} wanted;

static void expect_samples(const fv_dataset *ds, const wanted *w, int64_t n) {
    cr_assert_eq(ds->n_samples, n);
    for (int64_t i = 0; i < n; i++) {
        fv_image *image = NULL;
        cr_expect_str_eq(ds->samples[i].name, w[i].name);
        cr_expect_eq(ds->samples[i].label, w[i].label, "%s", w[i].name);
        cr_assert_eq(fv_sample_load(&ds->samples[i], &(fv_preprocess){0}, &image), FV_OK, "%s",
                     fv_error_message());
        cr_expect(image->height == 4 && image->width == 6 && image->pixels[5] == w[i].level);
        fv_image_destroy(image);
    }
}

static void make_folders(void) {
    add_picture("./dog/1.png", 10);
    add_picture("ant/2.x.PNG", 20);
    tar_add_text(&tar, "ant/notes.txt", "no image");
    add_picture("ant/.hidden.png", 1);
    write_archive("train/b.tar");
    add_picture("train/cat/deep/3.png", 30);
    write_archive("train/a.tar");
    add_picture("val/dog/4.png", 40);
    write_archive("val/v.tar");
}

Test(data_dataset_tar, class_folders_inside) {
    static const wanted train[] = {
        {"a/train/cat/deep/3.png", 1, 30}, {"b/dog/1.png", 2, 10}, {"b/ant/2.x.PNG", 0, 20}};
    make_folders();
    fv_dataset *ds = opened("train");
    cr_assert_eq(ds->n_classes, 3);
    cr_expect_str_eq(ds->class_names[1], "cat");
    expect_samples(ds, train, 3);
    fv_dataset_destroy(ds);
    ds = opened("validation");
    cr_assert_eq(ds->n_classes, 3);
    expect_samples(ds, &(wanted){"v/val/dog/4.png", 2, 40}, 1);
    fv_dataset_destroy(ds);
}

static void make_labels(void) {
    add_picture("000.png", 10);
    tar_add_text(&tar, "000.cls", "2");
    tar_add_text(&tar, "001.cls", "0\n"); /* before its image */
    add_picture("001.mask.png", 90);
    add_picture("001.png", 20);
    tar_add_text(&tar, "001.json", "{}");
    write_archive("set-train-000.tar");
    add_picture("000.png", 30);
    tar_add_text(&tar, "000.cls", "1");
    write_archive("set-val-000.tar");
}

Test(data_dataset_tar, labels_beside_the_images) {
    static const wanted train[] = {{"set-train-000/000.png", 2, 10},
                                   {"set-train-000/001.png", 0, 20}};
    make_labels();
    fv_dataset *ds = opened("train");
    cr_assert_eq(ds->n_classes, 3);
    cr_expect_str_eq(ds->class_names[2], "2");
    expect_samples(ds, train, 2);
    fv_dataset_destroy(ds);
    ds = opened("test");
    cr_assert_eq(ds->n_classes, 3);
    expect_samples(ds, &(wanted){"set-val-000/000.png", 1, 30}, 1);
    fv_dataset_destroy(ds);
    test_write(in_root("classes.txt"), "ant\nbee\ncat\ndog\n", 16);
    ds = opened("val");
    cr_assert_eq(ds->n_classes, 4);
    cr_expect_str_eq(ds->class_names[ds->samples[0].label], "bee");
    fv_dataset_destroy(ds);
    test_write(in_root("classes.txt"), "ant\nbee\n", 8);
    refused("train", FV_ERR_FORMAT, "000.png: label 2 of 2 classes");
    test_write(in_root("classes.txt"), "ant\nant\n", 8);
    refused("train", FV_ERR_FORMAT, "class 'ant' twice");
}

Test(data_dataset_tar, class_folders_on_disk_win) {
    fv_dataset *ds = NULL;

    make_folders();
    test_write_picture(in_root("train/dog/1.png"), 4, 4, 1);
    cr_assert_eq(fv_dataset_open(root, "train", NULL, &ds), FV_OK, "%s", fv_error_message());
    cr_expect_str_eq(ds->layout, "folder");
    fv_dataset_destroy(ds);
}

Test(data_dataset_tar, refuses_what_has_no_label) {
    add_picture("1.png", 1);
    write_archive("train/a.tar");
    refused("train", FV_ERR_FORMAT, "a/1.png: neither a .cls nor a folder");
    add_picture("1.png", 1);
    tar_add_text(&tar, "1.cls", "0");
    add_picture("2.png", 1);
    write_archive("train/a.tar");
    refused("train", FV_ERR_FORMAT, "2.png has no .cls");
    static const char *const labels[] = {"", "x", "-1", "1 2", "1000000", "99999999999999999999"};
    for (size_t i = 0; i < sizeof labels / sizeof *labels; i++) {
        add_picture("1.png", 1);
        tar_add_text(&tar, "1.cls", labels[i]);
        write_archive("train/a.tar");
        refused("train", FV_ERR_FORMAT, "1.cls: the label is not a number");
    }
    add_picture("1.png", 1);
    tar_add_text(&tar, "1.cls", "1");
    tar_add_text(&tar, "1.cls", "1");
    write_archive("train/a.tar");
    refused("train", FV_ERR_FORMAT, "a second label");
    test_write(in_root("train/a.tar"), "no archive", 10);
    refused("train", FV_ERR_FORMAT, "a.tar");
    refused("val", FV_ERR_NOT_FOUND, "no archives of the validation split");
    add_picture("bee/1.png", 1);
    write_archive("train/a.tar");
    add_picture("ant/1.png", 1);
    write_archive("val/a.tar");
    refused("val", FV_ERR_FORMAT, "folder of a known class");
    tar_add_text(&tar, "notes.txt", "");
    write_archive("train/a.tar");
    refused("train", FV_ERR_FORMAT, "no images");
}

static fv_status open_and_load(void *arg) {
    fv_dataset *ds = NULL;
    fv_image *image = NULL;

    fv_status status = fv_dataset_open(root, arg, NULL, &ds);
    if (status == FV_OK) status = fv_sample_load(&ds->samples[0], &(fv_preprocess){0}, &image);
    fv_image_destroy(image);
    fv_dataset_destroy(ds);
    return status;
}

Test(data_dataset_tar, every_failing_allocation_is_reported) {
    char split[] = "validation";

    make_folders();
    cr_assert_eq(alloc_sweep(open_and_load, split, NULL), FV_OK, "%s", fv_error_message());
    cr_assert_eq(fv_folder_remove(in_root("train")), FV_OK);
    cr_assert_eq(fv_folder_remove(in_root("val")), FV_OK);
    make_labels();
    cr_assert_eq(alloc_sweep(open_and_load, split, NULL), FV_OK, "%s", fv_error_message());
}
