#include "data/dataset.h"

#include "core/alloc.h"
#include "core/file.h"
#include "data/data_info.h"
#include "tests/support/picture.h"

#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char root[64], path[256];

static void enter(void) { test_folder_enter(root); }

static void leave(void) {
    fv_alloc_fail_at(0);
    test_folder_leave(root);
}

TestSuite(data_dataset, .init = enter, .fini = leave);

static const char *in_root(const char *name) {
    snprintf(path, sizeof path, "%s/%s", root, name);
    return path;
}

static void picture(const char *name) { test_write_picture(in_root(name), 6, 8, 100); }

static void text(const char *name, const char *content) {
    test_write(in_root(name), content, strlen(content));
}

static fv_dataset *opened(const char *split, const fv_dataset_options *options) {
    fv_dataset *ds = NULL;
    cr_assert_eq(fv_dataset_open(root, split, options, &ds), FV_OK, "%s", fv_error_message());
    return ds;
}

static void refused(const char *folder, const char *split, fv_status status, const char *word) {
    fv_dataset *ds = NULL;
    cr_expect_eq(fv_dataset_open(folder, split, NULL, &ds), status, "%s", fv_error_message());
    cr_expect(strstr(fv_error_message(), folder) || status == FV_ERR_CONFIG,
              "the path is missing: %s", fv_error_message());
    cr_expect(strstr(fv_error_message(), word), "'%s' is missing: %s", word, fv_error_message());
    cr_expect_null(ds);
}

static void make_folder_set(void) {
    picture("train/class10/b.png");
    picture("train/class10/a.jpg");
    picture("train/class2/x.JPEG");
    picture("train/class2/deep/er/y.png");
    text("train/class2/notes.txt", "no image");
    text("train/class2/.hidden.png", "no image");
    picture("train/Class1/z.png");
    picture("val/class10/v.png");
    picture("val/class2/w.png");
}

Test(data_dataset, reads_an_image_folder) {
    make_folder_set();
    fv_dataset *ds = opened("train", NULL);

    cr_assert_str_eq(ds->layout, "folder");
    cr_assert_eq(ds->n_classes, 3);
    cr_expect_str_eq(ds->class_names[0], "Class1");
    cr_expect_str_eq(ds->class_names[1], "class10");
    cr_expect_str_eq(ds->class_names[2], "class2");
    static const char *const names[] = {"Class1/z.png", "class10/a.jpg", "class10/b.png",
                                        "class2/deep/er/y.png", "class2/x.JPEG"};
    static const int32_t labels[] = {0, 1, 1, 2, 2};
    cr_assert_eq(ds->n_samples, 5);
    for (int i = 0; i < 5; i++) {
        cr_expect_str_eq(ds->samples[i].name, names[i]);
        cr_expect_eq(ds->samples[i].label, labels[i]);
        cr_expect(fv_file_exists(ds->samples[i].path));
        cr_expect(ds->samples[i].n_bytes > 0 && ds->samples[i].n_boxes == 0);
    }
    cr_expect_eq(ds->n_empty_classes, 0);
    cr_expect_eq(fv_dataset_label(ds, "class2"), 2);
    cr_expect_eq(fv_dataset_label(ds, "absent"), -1);
    fv_dataset_destroy(ds);
}

Test(data_dataset, labels_of_validation_are_those_of_training) {
    make_folder_set();
    static const char *const splits[] = {"validation", "val", "test"};
    for (int i = 0; i < 3; i++) {
        fv_dataset *ds = opened(splits[i], NULL);
        cr_expect_str_eq(ds->split, "validation");
        cr_assert_eq(ds->n_samples, 2);
        cr_expect_eq(ds->samples[0].label, 1);
        cr_expect_eq(ds->samples[1].label, 2);
        cr_expect(ds->n_empty_classes == 1 && strcmp(ds->first_empty_class, "Class1") == 0);
        fv_dataset_destroy(ds);
    }
    picture("test/class2/t.png"); /* asked for by name it comes before val */
    fv_dataset *ds = opened("test", NULL);
    cr_assert_eq(ds->n_samples, 1);
    cr_expect_str_eq(ds->samples[0].name, "class2/t.png");
    fv_dataset_destroy(ds);
    ds = opened("validation", NULL);
    cr_expect_eq(ds->n_samples, 2);
    fv_dataset_destroy(ds);
}

Test(data_dataset, natural_order_of_classes) {
    make_folder_set();
    fv_dataset *ds = opened("train", &(fv_dataset_options){.class_order = FV_CLASS_ORDER_NATURAL});

    cr_expect_str_eq(ds->class_names[0], "Class1");
    cr_expect_str_eq(ds->class_names[1], "class2");
    cr_expect_str_eq(ds->class_names[2], "class10");
    fv_dataset_destroy(ds);
}

Test(data_dataset, a_bare_folder_of_classes_serves_evaluation) {
    picture("cat/a.png");
    picture("dog/b.png");
    fv_dataset *ds = opened("validation", NULL);

    cr_expect(ds->n_classes == 2 && ds->n_samples == 2);
    cr_expect_str_eq(ds->samples[1].name, "dog/b.png");
    fv_dataset_destroy(ds);
    refused(root, "train", FV_ERR_NOT_FOUND, "no train/ folder");
}

Test(data_dataset, an_empty_class_is_kept_and_named) {
    make_folder_set();
    cr_assert_eq(fv_folder_create(in_root("train/void")), FV_OK);
    fv_dataset *ds = opened("train", NULL);

    cr_expect(ds->n_classes == 4 && ds->n_samples == 5);
    cr_expect(ds->n_empty_classes == 1 && strcmp(ds->first_empty_class, "void") == 0);
    fv_dataset_destroy(ds);
}

Test(data_dataset, boxes_and_masks_of_an_image_folder) {
    picture("train/a/one.png");
    picture("train/a/two.jpg");
    picture("masks/train/a/two.png");
    text("train/boxes.csv", "name,left,top,right,bottom\na/two.jpg,1,2,5,6\r\na/two.jpg,0,0,1,1\n"
                            "a/absent.png,0,0,1,1\n");
    fv_dataset *ds = opened("train", NULL);

    cr_assert_eq(ds->n_classes, 1);
    cr_expect(ds->samples[0].n_boxes == 0 && !ds->samples[0].mask);
    cr_assert(ds->samples[1].n_boxes == 2 && ds->samples[1].mask);
    const fv_box *b = ds->samples[1].boxes;
    cr_expect(b[0].left == 1 && b[0].top == 2 && b[0].right == 5 && b[0].bottom == 6);
    cr_expect(b[1].right == 1);
    cr_expect(fv_file_exists(ds->samples[1].mask));
    fv_dataset_destroy(ds);
    text("train/boxes.csv", "name,left,top,right,bottom\na/two.jpg,1,2,five,6\n");
    refused(root, "train", FV_ERR_FORMAT, "boxes.csv:2");
}

/* The clean image has the name of the image, the marker's mask that of a PNG. */
Test(data_dataset, markers_and_clean_images_of_an_image_folder) {
    picture("train/a/one.png");
    picture("val/a/one.png");
    picture("val/a/two.jpg");
    picture("markers/val/a/two.png");
    picture("clean/val/a/two.jpg");
    picture("clean/val/a/one.jpg");
    picture("clean/train/b/one.png");
    fv_dataset *ds = opened("validation", NULL);

    cr_assert_eq(ds->n_samples, 2);
    cr_expect(!ds->samples[0].marker && !ds->samples[0].clean);
    cr_assert(ds->samples[1].marker && ds->samples[1].clean && !ds->samples[1].mask);
    cr_expect_str_eq(ds->samples[1].marker, in_root("markers/val/a/two.png"));
    cr_expect_str_eq(ds->samples[1].clean, in_root("clean/val/a/two.jpg"));
    fv_dataset_destroy(ds);
    ds = opened("train", NULL);
    cr_expect(!ds->samples[0].marker && !ds->samples[0].clean);
    fv_dataset_destroy(ds);
}

Test(data_dataset, errors_name_the_path_and_what_is_expected) {
    refused(in_root("absent"), "train", FV_ERR_NOT_FOUND, "no such folder; expected train/");
    refused(root, "train", FV_ERR_FORMAT, "expected train/");
    refused(root, "trian", FV_ERR_CONFIG, "trian");
    text("file", "x");
    refused(root, "train", FV_ERR_FORMAT, "no class folders");
    refused(in_root("file"), "train", FV_ERR_NOT_FOUND, "no such folder");
    cr_assert_eq(fv_folder_create(in_root("train")), FV_OK);
    refused(root, "train", FV_ERR_FORMAT, "no class folders");
    cr_assert_eq(fv_folder_create(in_root("train/a")), FV_OK);
    refused(root, "train", FV_ERR_FORMAT, "no images");
    picture("train/a/x.png");
    refused(root, "validation", FV_ERR_NOT_FOUND, "no validation/");
    cr_assert_eq(fv_folder_create(in_root("val")), FV_OK);
    refused(root, "validation", FV_ERR_FORMAT, "no class folders");
    picture("val/b/x.png");
    refused(root, "validation", FV_ERR_FORMAT, "val/b");
}

Test(data_dataset, a_folder_that_cannot_be_read_is_an_error) {
    if (geteuid() == 0) cr_skip_test("root reads everything");
    make_folder_set();
    chmod(in_root("train/class2"), 0);
    refused(root, "train", FV_ERR_IO, "train/class2");
    chmod(in_root("train/class2"), 0700);
}

static void make_tiny(void) {
    text("wnids.txt", "n2\nn1\n");
    picture("train/n1/images/n1_0.JPEG");
    picture("train/n1/images/n1_1.JPEG");
    picture("train/n2/images/n2_0.JPEG");
    text("train/n1/n1_boxes.txt", "n1_0.JPEG\t1\t2\t3\t4\nn1_1.JPEG\t0\t0\t7\t5\n");
    picture("val/images/val_0.JPEG");
    picture("val/images/val_1.JPEG");
    text("val/val_annotations.txt", "val_1.JPEG\tn2\t0\t1\t5\t5\nval_0.JPEG\tn1\t2\t2\t4\t4\n");
}

Test(data_dataset, reads_tiny_imagenet) {
    make_tiny();
    fv_dataset *ds = opened("train", NULL);

    cr_assert_str_eq(ds->layout, "tiny_imagenet");
    cr_assert(ds->n_classes == 2 && ds->n_samples == 3);
    cr_expect_str_eq(ds->samples[1].name, "n1/images/n1_1.JPEG");
    cr_assert_eq(ds->samples[1].n_boxes, 1);
    cr_expect(ds->samples[1].boxes[0].right == 8 && ds->samples[1].boxes[0].bottom == 6);
    cr_expect_eq(ds->samples[2].n_boxes, 0);
    fv_dataset_destroy(ds);
    ds = opened("val", NULL);
    cr_assert_eq(ds->n_samples, 2);
    cr_expect_str_eq(ds->samples[0].name, "val_1.JPEG");
    cr_expect_eq(ds->samples[0].label, 1);
    cr_expect(ds->samples[1].label == 0 && ds->samples[1].boxes[0].left == 2);
    fv_dataset_destroy(ds);
}

Test(data_dataset, tiny_imagenet_without_training_images) {
    make_tiny();
    cr_assert_eq(fv_folder_remove(in_root("train")), FV_OK);
    fv_dataset *ds = opened("validation", NULL);
    cr_expect_str_eq(ds->class_names[0], "n1");
    fv_dataset_destroy(ds);
    refused(root, "train", FV_ERR_NOT_FOUND, "train");
}

Test(data_dataset, damage_in_tiny_imagenet_is_named) {
    make_tiny();
    text("val/val_annotations.txt", "val_1.JPEG\tn2\t0\t1\t5\t5\nval_7.JPEG\tn1\t2\t2\t4\t4\n");
    refused(root, "val", FV_ERR_NOT_FOUND, "val_annotations.txt:2");
    text("val/val_annotations.txt", "val_1.JPEG\tn3\t0\t1\t5\t5\n");
    refused(root, "val", FV_ERR_FORMAT, "n3");
    text("val/val_annotations.txt", "val_1.JPEG n2\n");
    refused(root, "val", FV_ERR_FORMAT, ":1");
    text("train/n1/n1_boxes.txt", "n1_0.JPEG\t1\t2\tx\t4\n");
    refused(root, "train", FV_ERR_FORMAT, "n1_boxes.txt:1");
    text("val/val_annotations.txt", "");
    refused(root, "val", FV_ERR_FORMAT, "no images");
    test_write(in_root("val/val_annotations.txt"), "val_1.JPEG\tn2\n\0\0\0", 17);
    refused(root, "val", FV_ERR_FORMAT, "byte 14 is 0");
    cr_assert_eq(fv_folder_remove(in_root("train")), FV_OK);
    text("wnids.txt", "n1\nn2\nn1\n");
    refused(root, "val", FV_ERR_FORMAT, "class n1 twice");
}

Test(data_dataset, hash_tells_sets_apart_but_not_places) {
    make_folder_set();
    fv_dataset *ds = opened("train", NULL);
    const uint64_t hash = ds->hash;
    fv_dataset_destroy(ds);

    char moved[80];
    snprintf(moved, sizeof moved, "%s_moved", root);
    cr_assert_eq(rename(root, moved), 0);
    cr_assert_eq(fv_dataset_open(moved, "train", NULL, &ds), FV_OK);
    cr_expect_eq(ds->hash, hash);
    fv_dataset_destroy(ds);
    cr_assert_eq(rename(moved, root), 0);

    cr_assert_eq(rename(in_root("train/Class1/z.png"), strcat(strcpy(moved, root), "/z.png")), 0);
    picture("train/Class1/q.png");
    ds = opened("train", NULL);
    cr_expect_neq(ds->hash, hash, "another name");
    fv_dataset_destroy(ds);
    cr_assert_eq(unlink(in_root("train/Class1/q.png")), 0);
    test_write_picture(in_root("train/Class1/z.png"), 16, 18, 3);
    ds = opened("train", NULL);
    cr_expect_neq(ds->hash, hash, "another size");
    fv_dataset_destroy(ds);
}

static void fail_every_allocation(const char *split) {
    for (uint64_t n = 1;; n++) {
        fv_dataset *ds = NULL;
        fv_alloc_fail_at(n);
        const fv_status status = fv_dataset_open(root, split, NULL, &ds);
        fv_alloc_fail_at(0);
        fv_dataset_destroy(ds);
        if (status == FV_OK) {
            cr_expect(n > 5, "some allocations must have been there to fail");
            return;
        }
        cr_assert_eq(status, FV_ERR_NOMEM, "%s, allocation %d: %s", split, (int)n,
                     fv_error_message());
        cr_assert_null(ds);
    }
}

Test(data_dataset, every_failing_allocation_is_reported) {
    make_folder_set();
    picture("masks/train/class2/x.png");
    picture("markers/train/class2/x.png");
    picture("clean/train/class2/x.JPEG");
    text("train/boxes.csv", "name,left,top,right,bottom\nclass2/x.JPEG,1,2,5,6\n");
    fail_every_allocation("train");
    fail_every_allocation("validation");
}

Test(data_dataset, every_failing_allocation_is_reported_for_tiny_imagenet) {
    make_tiny();
    fail_every_allocation("train");
    fail_every_allocation("validation");
    cr_assert_eq(fv_folder_remove(in_root("train")), FV_OK);
    fail_every_allocation("validation");
}

Test(data_dataset, info_counts_and_measures) {
    fv_data_info info;

    test_write_picture(in_root("train/a/1.jpg"), 10, 40, 1);
    test_write_picture(in_root("train/a/2.png"), 20, 30, 1);
    test_write_picture(in_root("train/b/3.png"), 30, 20, 1);
    text("train/b/4.png", "broken");
    fv_dataset *ds = opened("train", NULL);
    cr_assert_eq(fv_data_info_compute(ds, NULL, &info), FV_OK);
    cr_expect(info.n_samples == 4 && info.n_classes == 2 && info.n_probed == 4);
    cr_expect(info.class_counts[0] == 2 && info.class_counts[1] == 2);
    cr_expect(info.n_jpeg == 1 && info.n_png == 2 && info.n_bad == 1 && info.first_bad == 3);
    cr_expect(strstr(info.bad, "4.png"));
    cr_expect(info.height.min == 10 && info.height.median == 20 && info.height.max == 30);
    cr_expect(info.width.min == 20 && info.width.median == 30 && info.width.max == 40);
    fv_data_info_free(&info);
    cr_assert_eq(fv_data_info_compute(ds, &(fv_data_info_options){.max_files = 2}, &info), FV_OK);
    cr_expect(info.n_probed == 2 && info.n_bad == 0 && info.n_png == 1);
    fv_data_info_free(&info);
    for (uint64_t n = 1;; n++) {
        fv_alloc_fail_at(n);
        const fv_status status =
            fv_data_info_compute(ds, &(fv_data_info_options){.decode = true}, &info);
        fv_alloc_fail_at(0);
        fv_data_info_free(&info);
        if (status == FV_OK) break;
        cr_assert_eq(status, FV_ERR_NOMEM);
    }
    fv_dataset_destroy(ds);
}
