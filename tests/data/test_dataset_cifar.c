#include "core/alloc.h"
#include "core/file.h"
#include "data/data_info.h"
#include "data/loader.h"
#include "data/sample.h"
#include "tests/support/alloc_sweep.h"
#include "tests/support/picture.h"

#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>

#define PIXELS 3072

static char root[64], path[128];

static void enter(void) { test_folder_enter(root); }
static void leave(void) { test_folder_leave(root); }
TestSuite(data_dataset_cifar, .init = enter, .fini = leave);

static const char *in_root(const char *name) {
    snprintf(path, sizeof path, "%s/%s", root, name);
    return path;
}

static uint8_t value(int record, int plane, int pixel) {
    return (uint8_t)(record * 31 + plane * 80 + pixel * 7);
}

/* n records whose last header byte is the label (first + i) % classes. */
static void write_records(const char *name, int n, int header, int first, int classes) {
    static uint8_t bytes[16 * (PIXELS + 2)];
    uint8_t *at = bytes;

    for (int i = 0; i < n; i++) {
        for (int k = 0; k + 1 < header; k++)
            *at++ = 255; /* a coarse label, which is not looked at */
        *at++ = (uint8_t)((first + i) % classes);
        for (int k = 0; k < PIXELS; k++) *at++ = value(first + i, k / 1024, k % 1024);
    }
    test_write(in_root(name), bytes, (size_t)(at - bytes));
}

static void write_names(const char *name, int n) {
    char text[1024] = "";

    for (int i = 0; i < n; i++) {
        const size_t at = strlen(text);
        snprintf(text + at, sizeof text - at, "c%d\n", i);
    }
    strcat(text, "\n"); /* as distributed */
    test_write(in_root(name), text, strlen(text));
}

static void make_ten(void) {
    write_names("batches.meta.txt", 10);
    for (int b = 0; b < 5; b++) {
        char name[32];
        snprintf(name, sizeof name, "data_batch_%d.bin", b + 1);
        write_records(name, 3, 1, 3 * b, 10);
    }
    write_records("test_batch.bin", 4, 1, 6, 10);
}

static void make_hundred(void) {
    write_names("fine_label_names.txt", 100);
    write_records("train.bin", 5, 2, 96, 100);
    write_records("test.bin", 2, 2, 40, 100);
}

static fv_dataset *opened(const char *split) {
    fv_dataset *ds = NULL;
    cr_assert_eq(fv_dataset_open(root, split, NULL, &ds), FV_OK, "%s", fv_error_message());
    return ds;
}

static void refused(const char *split, fv_status status, const char *word) {
    fv_dataset *ds = NULL;
    cr_expect_eq(fv_dataset_open(root, split, NULL, &ds), status, "%s", fv_error_message());
    cr_expect(strstr(fv_error_message(), word), "'%s' is missing: %s", word, fv_error_message());
    cr_expect_null(ds);
}

static void expect_pixels(const fv_sample *sample, int record) {
    fv_image *image = NULL;

    cr_assert_eq(fv_sample_load(sample, &(fv_preprocess){0}, &image), FV_OK, "%s",
                 fv_error_message());
    cr_assert(image->height == 32 && image->width == 32);
    for (int i = 0; i < 1024; i++)
        for (int c = 0; c < 3; c++)
            cr_assert_eq(image->pixels[3 * i + c], value(record, c, i), "%d %d", i, c);
    fv_image_destroy(image);
}

Test(data_dataset_cifar, reads_cifar_10) {
    make_ten();
    fv_dataset *ds = opened("train");
    cr_expect_str_eq(ds->layout, "cifar10");
    cr_assert(ds->n_samples == 15 && ds->n_classes == 10);
    for (int i = 0; i < 15; i++) {
        char name[32];
        snprintf(name, sizeof name, "data_batch_%d/%05d", i / 3 + 1, i % 3);
        cr_expect_str_eq(ds->samples[i].name, name);
        cr_expect_eq(ds->samples[i].label, i % 10);
        expect_pixels(&ds->samples[i], i);
    }
    cr_expect_str_eq(ds->class_names[9], "c9");
    fv_dataset_destroy(ds);
    ds = opened("test");
    cr_assert(ds->n_samples == 4 && ds->n_classes == 10);
    cr_expect_str_eq(ds->samples[3].name, "test_batch/00003");
    expect_pixels(&ds->samples[3], 9);
    fv_dataset_destroy(ds);
}

Test(data_dataset_cifar, reads_fine_labels_of_cifar_100) {
    make_hundred();
    fv_dataset *ds = opened("train");
    cr_expect_str_eq(ds->layout, "cifar100");
    cr_assert(ds->n_samples == 5 && ds->n_classes == 100);
    for (int i = 0; i < 5; i++) {
        cr_expect_eq(ds->samples[i].label, (96 + i) % 100);
        expect_pixels(&ds->samples[i], 96 + i);
    }
    fv_dataset_destroy(ds);
    ds = opened("validation");
    cr_expect_eq(ds->samples[1].label, 41);
    fv_dataset_destroy(ds);
}

Test(data_dataset_cifar, loads_and_verifies) {
    static const fv_preprocess pre = {.img_h = 32,
                                      .img_w = 32,
                                      .std = {1, 1, 1},
                                      .interpolation = FV_INTERPOLATION_BICUBIC,
                                      .crop_pct = 1.0};
    const int64_t order[] = {4, 0, 2};
    fv_loader *loader = NULL;
    const fv_batch *batch = NULL;
    fv_data_info info;

    make_ten();
    fv_dataset *ds = opened("train");
    cr_assert_eq(fv_data_info_compute(ds, &(fv_data_info_options){.decode = true}, &info), FV_OK);
    cr_expect(info.n_bad == 0 && info.n_probed == 15 && info.width.max == 32);
    fv_data_info_free(&info);
    const fv_loader_config config = {.dataset = ds, .preprocess = &pre, .batch_size = 3};
    cr_assert_eq(fv_loader_create(&config, &loader), FV_OK, "%s", fv_error_message());
    cr_assert_eq(fv_loader_start(loader, &(fv_loader_epoch){.order = order, .n_order = 3}), FV_OK);
    cr_assert_eq(fv_loader_next(loader, &batch), FV_OK, "%s", fv_error_message());
    cr_assert_eq(batch->n, 3);
    for (int i = 0; i < 3; i++)
        cr_expect_eq(batch->pixels[i * PIXELS + 4], (float)value((int)order[i], 1, 1) / 255.0f);
    fv_batch_release(loader, batch);
    fv_loader_destroy(loader);
    fv_dataset_destroy(ds);
}

Test(data_dataset_cifar, a_file_that_became_shorter_names_the_sample) {
    fv_image *image = NULL;

    make_ten();
    fv_dataset *ds = opened("train");
    write_records("data_batch_2.bin", 1, 1, 0, 10);
    cr_expect_eq(fv_sample_load(&ds->samples[5], &(fv_preprocess){0}, &image), FV_ERR_FORMAT);
    cr_expect(strstr(fv_error_message(), "data_batch_2.bin"), "%s", fv_error_message());
    cr_expect_null(image);
    fv_dataset_destroy(ds);
}

Test(data_dataset_cifar, refuses_what_is_no_cifar) {
    make_ten();
    write_records("data_batch_4.bin", 3, 1, 10, 100); /* labels 10 .. 12 */
    refused("train", FV_ERR_FORMAT, "data_batch_4.bin: record 0 has label 10 of 10");
    test_write(in_root("data_batch_4.bin"), "abc", 3);
    refused("train", FV_ERR_FORMAT, "data_batch_4.bin: 3 bytes");
    test_write(in_root("data_batch_4.bin"), "", 0);
    refused("train", FV_ERR_FORMAT, "data_batch_4.bin: 0 bytes");
    cr_assert_eq(remove(in_root("data_batch_4.bin")), 0);
    refused("train", FV_ERR_NOT_FOUND, "data_batch_4.bin");
    write_names("batches.meta.txt", 9);
    refused("test", FV_ERR_FORMAT, "9 class names, expected 10");
    write_names("batches.meta.txt", 11);
    refused("test", FV_ERR_FORMAT, "more than 10");
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

Test(data_dataset_cifar, every_failing_allocation_is_reported) {
    char split[] = "train";

    make_hundred();
    cr_assert_eq(alloc_sweep(open_and_load, split, NULL), FV_OK, "%s", fv_error_message());
}
