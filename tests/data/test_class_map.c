#include "data/class_map.h"

#include "core/alloc.h"
#include "tests/support/alloc_sweep.h"
#include "tests/support/picture.h"

#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>

static char root[64], map[96];

static void enter(void) {
    static const char *const names[] = {"train/ant/1.png",   "train/bee/1.png", "train/bee/2.png",
                                        "train/cat 7/1.png", "train/dog/1.png", "val/ant/3.png",
                                        "val/bee/3.png"};
    char path[128];

    test_folder_enter(root);
    snprintf(map, sizeof map, "%s/map.txt", root);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", root, names[i]);
        test_write_picture(path, 4, 4, 50);
    }
}

static void leave(void) { test_folder_leave(root); }

TestSuite(data_class_map, .init = enter, .fini = leave);

static fv_status open_with(const char *text, const char *split, fv_dataset **out) {
    if (text) test_write(map, text, strlen(text));
    return fv_dataset_open(root, split, &(fv_dataset_options){.class_map = text ? map : NULL}, out);
}

static fv_dataset *opened(const char *text, const char *split) {
    fv_dataset *ds = NULL;
    cr_assert_eq(open_with(text, split, &ds), FV_OK, "%s", fv_error_message());
    return ds;
}

static void refused(const char *text, fv_status status, const char *word) {
    fv_dataset *ds = NULL;
    cr_expect_eq(open_with(text, "train", &ds), status, "%s", fv_error_message());
    cr_expect(strstr(fv_error_message(), word), "'%s' is missing: %s", word, fv_error_message());
    cr_expect_null(ds);
}

/* Classes in the order of the lines, samples class by class, the rest left out. */
static void expect_dog_bee(const fv_dataset *ds) {
    cr_assert_eq(ds->n_classes, 2);
    cr_expect_str_eq(ds->class_names[0], "dog");
    cr_expect_str_eq(ds->class_names[1], "bee");
    cr_assert_eq(ds->n_samples, 3);
    static const char *const names[] = {"dog/1.png", "bee/1.png", "bee/2.png"};
    for (int i = 0; i < 3; i++) {
        cr_expect_str_eq(ds->samples[i].name, names[i]);
        cr_expect_eq(ds->samples[i].label, i > 0);
    }
}

Test(data_class_map, lines_are_labels) {
    static const char *const texts[] = {"dog\nbee\n", "\n  dog \r\n\n\tbee", "bee 1\ndog 0\n",
                                        "bee\t1\n\ndog   0"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        fv_dataset *ds = opened(texts[i], "train");
        expect_dog_bee(ds);
        fv_dataset_destroy(ds);
    }
}

Test(data_class_map, a_name_may_end_in_a_number) {
    fv_dataset *ds = opened("cat 7\nant\n", "train"); /* not every line ends so: these are names */
    cr_expect_str_eq(ds->class_names[0], "cat 7");
    cr_expect_eq(ds->n_samples, 2);
    fv_dataset_destroy(ds);
    ds = opened("cat 7 1\nant 0\n", "train");
    cr_expect_str_eq(ds->class_names[1], "cat 7");
    cr_expect_eq(ds->samples[1].label, 1);
    fv_dataset_destroy(ds);
}

Test(data_class_map, a_class_without_samples_keeps_its_label) {
    fv_dataset *ds = opened("zebra\nbee\ndog\n", "val");
    cr_assert_eq(ds->n_classes, 3);
    cr_assert_eq(ds->n_samples, 1);
    cr_expect_str_eq(ds->samples[0].name, "bee/3.png");
    cr_expect_eq(ds->samples[0].label, 1);
    cr_expect_eq(ds->n_empty_classes, 2);
    fv_dataset_destroy(ds);
}

Test(data_class_map, of_all_classes_changes_nothing) {
    fv_dataset *plain = opened(NULL, "train"), *ds = opened("ant\nbee\ncat 7\ndog\n", "train");
    cr_expect_eq(ds->hash, plain->hash);
    fv_dataset_destroy(ds);
    ds = opened("bee\nant\ncat 7\ndog\n", "train");
    cr_expect_neq(ds->hash, plain->hash);
    fv_dataset_destroy(ds);
    fv_dataset_destroy(plain);
}

Test(data_class_map, refuses_what_is_no_map) {
    fv_dataset *ds = NULL;

    refused("", FV_ERR_FORMAT, "map.txt: no class names");
    refused("ant\nbee\nant\n", FV_ERR_FORMAT, "map.txt:3: class 'ant' twice");
    refused("ant 0\nbee 2\n", FV_ERR_FORMAT, "map.txt:2: label 2 of 2 classes");
    refused("ant 0\nbee 0\n", FV_ERR_FORMAT, "label 0 twice");
    refused("wolf\nyak\n", FV_ERR_FORMAT, "none of its 2 classes");
    cr_expect_eq(open_with("dog\n", "val", &ds), FV_ERR_FORMAT);
    cr_expect(strstr(fv_error_message(), "validation split"), "%s", fv_error_message());
    cr_expect_eq(
        fv_dataset_open(root, "train", &(fv_dataset_options){.class_map = "/absent.txt"}, &ds),
        FV_ERR_NOT_FOUND);
}

static fv_status open_mapped(void *arg) {
    fv_dataset *ds = NULL;
    const fv_status status =
        fv_dataset_open(root, "train", &(fv_dataset_options){.class_map = arg}, &ds);
    fv_dataset_destroy(ds);
    return status;
}

Test(data_class_map, every_failing_allocation_is_reported) {
    test_write(map, "dog\nbee\n", 8);
    cr_assert_eq(alloc_sweep(open_mapped, map, NULL), FV_OK, "%s", fv_error_message());
}
