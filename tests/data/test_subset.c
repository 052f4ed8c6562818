#include "data/subset.h"

#include "core/alloc.h"
#include "tests/support/alloc_sweep.h"
#include "tests/support/picture.h"

#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>

static char root[64], list[96];

/* 20 samples of a, 8 of b, 1 of c; two of them are called x.png. */
static void enter(void) {
    char path[128];

    test_folder_enter(root);
    snprintf(list, sizeof list, "%s/list.txt", root);
    for (int i = 0; i < 29; i++) {
        if (i == 20 || i == 28)
            snprintf(path, sizeof path, "%s/train/%c/x.png", root, i == 20 ? 'b' : 'c');
        else
            snprintf(path, sizeof path, "%s/train/%c/%02d.png", root, i < 20 ? 'a' : 'b', i);
        test_write(path, "", 0);
    }
}

static void leave(void) { test_folder_leave(root); }

TestSuite(data_subset, .init = enter, .fini = leave);

static fv_dataset *opened(const char *subset, uint64_t seed) {
    fv_dataset *ds = NULL;
    const fv_dataset_options options = {.subset = subset, .seed = seed};
    cr_assert_eq(fv_dataset_open(root, "train", &options, &ds), FV_OK, "%s", fv_error_message());
    return ds;
}

static void refused(const char *subset, fv_status status, const char *word) {
    fv_dataset *ds = NULL;
    const fv_dataset_options options = {.subset = subset};
    cr_expect_eq(fv_dataset_open(root, "train", &options, &ds), status, "%s: %s", subset,
                 fv_error_message());
    cr_expect(strstr(fv_error_message(), word), "'%s' is missing: %s", word, fv_error_message());
    cr_expect_null(ds);
}

static void expect_counts(const char *subset, int a, int b, int c) {
    int count[3] = {0};
    fv_dataset *ds = opened(subset, 1);

    for (int64_t i = 0; i < ds->n_samples; i++) count[ds->samples[i].label]++;
    cr_expect(count[0] == a && count[1] == b && count[2] == c, "%s: %d %d %d", subset, count[0],
              count[1], count[2]);
    for (int64_t i = 1; i < ds->n_samples; i++)
        cr_expect(strcmp(ds->samples[i - 1].name, ds->samples[i].name) < 0, "the order is kept");
    fv_dataset_destroy(ds);
}

Test(data_subset, counts_and_shares_are_per_class) {
    expect_counts("1", 1, 1, 1);
    expect_counts("10", 10, 8, 1);
    expect_counts("1000000000000000000000", 20, 8, 1);
    expect_counts("1.0", 20, 8, 1);
    expect_counts("0.25", 5, 2, 1);
    expect_counts("1e-6", 1, 1, 1);
}

static bool holds(const fv_dataset *ds, const char *name) {
    for (int64_t i = 0; i < ds->n_samples; i++)
        if (strcmp(ds->samples[i].name, name) == 0) return true;
    return false;
}

Test(data_subset, is_drawn_by_the_seed_and_grows) {
    fv_dataset *small = opened("3", 7), *again = opened("3", 7), *large = opened("0.5", 7);
    fv_dataset *other = opened("3", 8);

    cr_expect_eq(small->hash, again->hash);
    cr_expect_neq(small->hash, other->hash);
    for (int64_t i = 0; i < small->n_samples; i++)
        cr_expect(holds(large, small->samples[i].name), "%s", small->samples[i].name);
    fv_dataset_destroy(small);
    fv_dataset_destroy(again);
    fv_dataset_destroy(large);
    fv_dataset_destroy(other);
}

Test(data_subset, every_sample_of_a_class_is_drawn_alike) {
    int drawn[20] = {0};

    for (uint64_t seed = 0; seed < 400; seed++) { /* 5 of 20: 100 times each, deviation 8.7 */
        fv_dataset *ds = opened("5", seed);
        for (int64_t i = 0; i < ds->n_samples; i++)
            if (ds->samples[i].label == 0) {
                int k = -1;
                cr_assert_eq(sscanf(ds->samples[i].name, "a/%d", &k), 1);
                drawn[k]++;
            }
        fv_dataset_destroy(ds);
    }
    for (int k = 0; k < 20; k++) cr_expect(drawn[k] > 60 && drawn[k] < 140, "%d: %d", k, drawn[k]);
}

Test(data_subset, does_not_depend_on_the_class_map) {
    fv_dataset *ds = NULL, *plain = opened("3", 7);
    const fv_dataset_options options = {.subset = "3", .seed = 7, .class_map = list};

    test_write(list, "b\na\n", 4);
    cr_assert_eq(fv_dataset_open(root, "train", &options, &ds), FV_OK, "%s", fv_error_message());
    cr_assert_eq(ds->n_samples, 6);
    for (int64_t i = 0; i < 6; i++) cr_expect(holds(plain, ds->samples[i].name));
    fv_dataset_destroy(ds);
    fv_dataset_destroy(plain);
}

Test(data_subset, of_named_samples) {
    static const char text[] = "b/22.png\r\n\n03.png\na/01.png\nc/x.png\n";
    static const char *const names[] = {"a/01.png", "a/03.png", "b/22.png", "c/x.png"};

    test_write(list, text, sizeof text - 1);
    fv_dataset *ds = opened(list, 0);
    cr_assert_eq(ds->n_samples, 4);
    for (int i = 0; i < 4; i++) cr_expect_str_eq(ds->samples[i].name, names[i]);
    fv_dataset_destroy(ds);
}

static void list_refused(const char *text, const char *word) {
    test_write(list, text, strlen(text));
    refused(list, FV_ERR_FORMAT, word);
}

Test(data_subset, refuses_what_chooses_nothing) {
    refused("0", FV_ERR_CONFIG, "subset '0'");
    refused("-1", FV_ERR_CONFIG, "subset '-1'");
    refused("1.5", FV_ERR_CONFIG, "subset '1.5'");
    refused("nan", FV_ERR_CONFIG, "subset 'nan'");
    refused("/absent.txt", FV_ERR_NOT_FOUND, "/absent.txt");
    list_refused("a/00.png\nb/99.png\n", "list.txt:2: no sample 'b/99.png'");
    list_refused("a/00.png\n00.png\n", "list.txt:2: sample '00.png' twice");
    list_refused("x.png\n", "2 samples are called 'x.png'");
    list_refused("\n\n", "no names");
}

static fv_status open_chosen(void *arg) {
    fv_dataset *ds = NULL;
    const fv_status status =
        fv_dataset_open(root, "train", &(fv_dataset_options){.subset = arg}, &ds);
    fv_dataset_destroy(ds);
    return status;
}

Test(data_subset, every_failing_allocation_is_reported) {
    char number[] = "3";

    test_write(list, "00.png\nb/22.png\n", 16);
    cr_assert_eq(alloc_sweep(open_chosen, number, NULL), FV_OK, "%s", fv_error_message());
    cr_assert_eq(alloc_sweep(open_chosen, list, NULL), FV_OK, "%s", fv_error_message());
}
