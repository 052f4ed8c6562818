#include "data/transform_list.h"
#include "tests/support/picture.h"

#include <criterion/criterion.h>

#include <math.h>
#include <string.h>

#define SIDE 24

TestSuite(data_transform_rand_augment);

static fv_rand_augment parsed(const char *text) {
    fv_rand_augment a;
    cr_assert_eq(fv_rand_augment_parse(text, &a), FV_OK, "%s", fv_error_message());
    return a;
}

Test(data_transform_rand_augment, reads_what_timm_writes) {
    fv_rand_augment a = parsed("rand-m9-mstd0.5-inc1");

    cr_assert(a.layers == 2 && a.magnitude == 9.0 && a.deviation == 0.5 && a.increasing);
    cr_assert(a.most == 10.0 && a.prob == 0.5);
    a = parsed("rand-n3-m15-mmax20-p0.25-inc0-mstd101");
    cr_assert(a.layers == 3 && a.magnitude == 15.0 && a.most == 20.0 && a.prob == 0.25);
    cr_assert(a.deviation == 101.0 && !a.increasing);
    cr_assert_eq(parsed("rand").magnitude, 10.0);
    cr_assert_eq(parsed("").layers, 0);
}

Test(data_transform_rand_augment, refuses_what_it_does_not_know) {
    static const char *const bad[] = {"augmix-m3",   "rand-",     "rand-m",      "rand-mx",
                                      "rand-x9",     "rand-m9-",  "rand-m9.5.1", "rand-m-9",
                                      "rand-mstd-1", "rand-p1.5", "rand-m1e400", "random",
                                      "rand-n17",    "RAND",      "rand-t0"};
    fv_rand_augment a;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        cr_assert_eq(fv_rand_augment_parse(bad[i], &a), FV_ERR_CONFIG, "%s", bad[i]);
        cr_assert(strncmp(fv_error_message(), "aa: ", 4) == 0, "%s", fv_error_message());
    }
}

/* Runs the transform alone on a fresh pattern. */
static uint64_t run(const fv_augment *augment, uint32_t sample) {
    static const fv_preprocess pre = {.mean = {0.485f, 0.456f, 0.406f}};
    fv_image *image = test_pattern(SIDE, SIDE);
    fv_buffer copy = {0};
    fv_transform_state state = {
        .pre = &pre,
        .augment = augment,
        .key = {.seed = 3, .purpose = FV_RNG_AUGMENT, .step = 1, .sample = sample, .layer = 5},
        .image = image,
        .copy = &copy};

    cr_assert_eq(fv_transform_rand_augment.apply(&state), FV_OK);
    const uint64_t hash = test_fnv(image->pixels, SIDE * SIDE * 3);
    fv_image_destroy(image);
    fv_buffer_free(&copy);
    return hash;
}

Test(data_transform_rand_augment, applies_its_operations_with_their_probability) {
    fv_augment augment = {.aa = parsed("rand-m9-mstd0.5-inc1-n1"),
                          .interpolation = FV_INTERPOLATION_RANDOM};
    uint64_t seen[512];
    int changed = 0, distinct = 0;
    const fv_augment off = {.aa = parsed("")};
    const uint64_t untouched = run(&off, 0);

    for (uint32_t i = 0; i < 1000; i++) {
        const uint64_t hash = run(&augment, i);
        cr_assert_eq(hash, run(&augment, i), "a function of the key");
        if (hash == untouched) continue;
        changed++;
        int k = 0;
        while (k < distinct && seen[k] != hash) k++;
        if (k == distinct && distinct < 512) seen[distinct++] = hash;
    }
    cr_assert_float_eq(changed / 1000.0, 0.5, 0.05, "%d", changed);
    cr_assert_gt(distinct, 200);
}

/* With every magnitude 0 the increasing operations change nothing, but for autocontrast, equalize, invert
 * and a posterize that keeps four bits. */
Test(data_transform_rand_augment, magnitude_nought_is_the_identity_of_increasing_operations) {
    const fv_augment augment = {.aa = parsed("rand-m0-inc1-n1-p1"),
                                .interpolation = FV_INTERPOLATION_BICUBIC};
    const fv_augment off = {.aa = parsed("")};
    const uint64_t untouched = run(&off, 0);
    uint64_t seen[8];
    int distinct = 0, changed = 0;

    for (uint32_t i = 0; i < 600; i++) {
        const uint64_t hash = run(&augment, i);
        if (hash == untouched) continue;
        changed++;
        int k = 0;
        while (k < distinct && seen[k] != hash) k++;
        if (k == distinct && distinct < 8) seen[distinct++] = hash;
    }
    cr_assert_eq(distinct, 4);
    cr_assert_float_eq(changed / 600.0, 4.0 / 15.0, 0.06);
}

Test(data_transform_rand_augment, layers_follow_each_other) {
    fv_augment augment = {.aa = parsed("rand-m9-p1-n2"), .interpolation = FV_INTERPOLATION_RANDOM};
    int differs = 0;

    for (uint32_t i = 0; i < 50; i++) {
        augment.aa.layers = 1;
        const uint64_t one = run(&augment, i);
        augment.aa.layers = 2;
        differs += run(&augment, i) != one;
    }
    cr_assert_gt(differs, 35);
}
