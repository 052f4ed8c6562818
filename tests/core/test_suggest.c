#include "core/suggest.h"

#include <criterion/criterion.h>

Test(core_suggest, distances) {
    cr_assert_eq(fv_edit_distance("", "abc"), 3);
    cr_assert_eq(fv_edit_distance("abc", ""), 3);
    cr_assert_eq(fv_edit_distance("kitten", "sitting"), 3);
    cr_assert_eq(fv_edit_distance("epohcs", "epochs"), 1, "a swap is one edit");
    cr_assert_eq(fv_edit_distance("Batch-Size", "batch_size"), 0);
    cr_assert_eq(fv_edit_distance("vit", "vit"), 0);
}

Test(core_suggest, long_words_do_not_overrun) {
    char a[300];

    for (int i = 0; i < 299; i++) a[i] = 'a';
    a[299] = '\0';
    cr_assert_eq(fv_edit_distance(a, "aaa"), 60);
    cr_assert_null(fv_suggest(a, (const char *const[]){"aaa", NULL}));
}

Test(core_suggest, nearest_name) {
    static const char *const names[] = {"epochs", "lr", "lr_base", "batch_size", NULL};
    char text[FV_SUGGEST_TEXT];

    cr_assert_str_eq(fv_suggest("epoch", names), "epochs");
    cr_assert_str_eq(fv_suggest("batchsize", names), "batch_size");
    cr_assert_str_eq(fv_suggest("lr_bsae", names), "lr_base");
    cr_assert_null(fv_suggest("frobnicate", names));
    cr_assert_null(fv_suggest("x", names), "two letters are not two edits from anything");
    cr_assert_null(fv_suggest("lr", NULL));
    cr_assert_str_eq(fv_suggest_text("epoch", names, text), "; did you mean 'epochs'?");
    cr_assert_str_eq(fv_suggest_text("zzzzz", names, text), "");
}
