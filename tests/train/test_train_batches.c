#include "train/train_batches.h"

#include "core/option.h"
#include "data/sampler.h"
#include "tests/support/alloc_sweep.h"
#include "tests/support/trainer_run.h"

#include <criterion/criterion.h>

#include <string.h>

TestSuite(train_train_batches, .init = run_enter, .fini = run_leave);

#define SIDE  32
#define BATCH 8

static fv_settings settings;

static void set(const char *key, const char *value) {
    OK(fv_settings_set(&settings, key, value, key, FV_CMD_TRAIN));
}

static void begin(void) {
    fv_settings_init(&settings);
    set("data_dir", run_path("data"));
    set("model", "mini_vit");
    set("img_size", "32");
    set("model_kwargs.patch_size", "8");
    set("batch_size", "8");
    set("aa", "rand-m9-mstd0.5-inc1");
    set("reprob", "0.5");
    set("seed", "5");
    set("workers", "2");
}

static fv_train_batches loaded(int64_t epoch, int64_t first, int64_t count) {
    fv_train_batches b;
    OK(fv_train_batches_load(&settings, (fv_train_batches_range){epoch, first, count}, NULL, &b));
    cr_assert_eq(b.n, count * BATCH);
    return b;
}

static bool same_pixels(const fv_train_batches *a, int64_t i, const fv_train_batches *b, int64_t j,
                        int64_t n) {
    const size_t image = (size_t)SIDE * SIDE * 3;
    return memcmp(a->pixels + (size_t)i * image, b->pixels + (size_t)j * image,
                  (size_t)n * image * sizeof(float)) == 0;
}

/* Order and augmentation are what the keys say, computed here without a loader. */
Test(train_train_batches, are_those_of_the_keys) {
    int64_t order[40];
    fv_augment augment;

    begin();
    fv_train_batches b = loaded(2, 1, 2);
    cr_assert_eq(b.dataset->n_samples, 40);
    fv_sampler_shuffle(5, 2, 40, order);
    fv_augment_init(&augment);
    OK(fv_rand_augment_parse("rand-m9-mstd0.5-inc1", &augment.aa));
    augment.reprob = 0.5;
    for (int64_t i = 0; i < b.n; i++) {
        static float pixels[SIDE * SIDE * 3];
        const int64_t index = order[BATCH + i];
        fv_image *image = NULL;
        const fv_rng_key key = {
            .seed = 5, .purpose = FV_RNG_AUGMENT, .step = 2, .sample = (uint32_t)index};
        cr_assert_eq(b.index[i], index);
        cr_assert_eq(b.labels[i], b.dataset->samples[index].label);
        OK(fv_image_load(b.dataset->samples[index].path, &image));
        OK(fv_transform_train(&b.preprocess, &augment, key, image, pixels));
        fv_image_destroy(image);
        cr_assert_eq(memcmp(pixels, b.pixels + (size_t)i * SIDE * SIDE * 3, sizeof pixels), 0, "%d",
                     (int)i);
    }
    fv_train_batches_free(&b);
    fv_settings_destroy(&settings);
}

Test(train_train_batches, do_not_depend_on_how_they_are_cut) {
    begin();
    set("mixup", "0.8");
    set("cutmix", "1.0");
    fv_train_batches whole = loaded(1, 0, 3), part = loaded(1, 1, 1), next = loaded(2, 1, 1);
    cr_expect(same_pixels(&whole, BATCH, &part, 0, BATCH));
    cr_expect_eq(memcmp(whole.targets + BATCH * whole.classes, part.targets,
                        (size_t)(BATCH * whole.classes) * sizeof(float)),
                 0);
    cr_expect_not(same_pixels(&part, 0, &next, 0, BATCH), "another epoch");
    set("batch_size", "4");
    set("grad_accum_steps", "2");
    set("workers", "0");
    fv_train_batches cut = loaded(1, 0, 3);
    cr_expect(same_pixels(&whole, 0, &cut, 0, whole.n));
    set("mixup_off_epoch", "1");
    fv_train_batches off = loaded(1, 0, 3);
    cr_expect_not(same_pixels(&whole, 0, &off, 0, whole.n));
    for (int64_t i = 0; i < off.n; i++)
        cr_expect_float_eq(off.targets[i * off.classes + off.labels[i]], 0.9f + 0.1f / 3, 1e-6f);
    fv_train_batches_free(&whole);
    fv_train_batches_free(&part);
    fv_train_batches_free(&next);
    fv_train_batches_free(&cut);
    fv_train_batches_free(&off);
    fv_settings_destroy(&settings);
}

static void refused(int64_t first, int64_t count, const char *word) {
    fv_train_batches b;
    const fv_train_batches_range range = {0, first, count};
    cr_expect_eq(fv_train_batches_load(&settings, range, NULL, &b), FV_ERR_CONFIG);
    cr_expect(strstr(fv_error_message(), word), "'%s' is missing: %s", word, fv_error_message());
    fv_train_batches_free(&b);
}

Test(train_train_batches, refuses_what_no_training_has) {
    begin();
    refused(0, 6, "updates 0..5 of an epoch of 5");
    refused(5, 1, "updates 5..5");
    set("batch_size", "7");
    set("cutmix", "1");
    refused(0, 1, "even number");
    set("model", "mini_vat");
    refused(0, 1, "mini_vit");
    fv_settings_destroy(&settings);
}

static fv_status load_one(void *arg) {
    fv_train_batches b;

    (void)arg;
    const fv_status status =
        fv_train_batches_load(&settings, (fv_train_batches_range){0, 0, 1}, NULL, &b);
    fv_train_batches_free(&b);
    return status;
}

Test(train_train_batches, every_failing_allocation_is_reported) {
    begin();
    set("workers", "0");
    set("cutmix", "1");
    set("aug_repeats", "2");
    cr_assert_eq(alloc_sweep(load_one, NULL, NULL), FV_OK, "%s", fv_error_message());
    fv_settings_destroy(&settings);
}
