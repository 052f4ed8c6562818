/* Names of explanation files: unique for every image and method. */
#include "eval/saliency/explanation_file.h"

#include <criterion/criterion.h>
#include <string.h>

static fv_arena arena;

static void teardown(void) { fv_arena_destroy(&arena); }

TestSuite(eval_explanation_file, .fini = teardown);

Test(eval_explanation_file, stems_are_plain_names_made_unique) {
    const char *const images[] = {"a/one.png", "b/one.jpg",  "one",     "c/one-2.png",
                                  "x.tar.gz",  "/d/.hidden", "e/two.p", "e/one.png"};
    const char *const wanted[] = {"one",   "one-2",   "one-3", "one-2-2",
                                  "x.tar", ".hidden", "two",   "one-4"};
    const int n = sizeof images / sizeof *images;
    const char *stems[8];

    cr_assert_eq(fv_explanation_stems(images, n, &arena, stems), FV_OK);
    for (int i = 0; i < n; i++) cr_expect_str_eq(stems[i], wanted[i]);
}

/* 100 times "ä" and a byte: the cut must not split a character. */
Test(eval_explanation_file, long_names_are_cut_between_characters) {
    char name[256] = "x";
    const char *images[] = {name};
    const char *stem;

    for (int i = 0; i < 100; i++) strcat(name, "\xc3\xa4");
    strcat(name, ".png");
    cr_assert_eq(fv_explanation_stems(images, 1, &arena, &stem), FV_OK);
    cr_expect_eq(strlen(stem), 179);
    cr_expect_eq((unsigned char)stem[178], 0xa4, "a whole character at the end");
}

Test(eval_explanation_file, colons_do_not_reach_file_names) {
    fv_explanation_files files;

    cr_assert_eq(fv_explanation_name("out", "one", "lrp:cplrp", &arena, &files), FV_OK);
    cr_expect_str_eq(files.raw, "out/one_lrp-cplrp.safetensors");
    cr_expect_str_eq(files.map, "out/one_lrp-cplrp_heat.png");
    cr_expect_str_eq(files.overlay, "out/one_lrp-cplrp_overlay.png");
}

Test(eval_explanation_file, ledger_names_every_sink) {
    const fv_explanation with = {.has_account = true, .account = {.start = 2.0, .input = 1.5}};
    const fv_explanation without = {0};

    const fv_value *ledger = fv_explanation_ledger(&with, &arena);
    cr_assert_not_null(ledger);
    cr_expect_eq(fv_value_find(ledger, "input")->real, 1.5);
    for (int s = 0; s < FV_SINK_COUNT; s++)
        cr_expect_not_null(fv_value_find(ledger, fv_sink_names[s]), "%s", fv_sink_names[s]);
    cr_expect_eq(fv_explanation_ledger(&without, &arena)->kind, FV_VALUE_NULL);
}
