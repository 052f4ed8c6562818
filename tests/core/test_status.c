#include "core/status.h"

#include <criterion/criterion.h>

#include <pthread.h>
#include <stdio.h>
#include <string.h>

static fv_status three(void) { return FV_FAIL(FV_ERR_SHAPE, "%d dims, not %s", 3, "two"); }

static fv_status tried(int fail) {
    FV_TRY(fail ? three() : FV_OK);
    return FV_FAIL(FV_ERR_IO, "reached");
}

TestSuite(core_status, .init = fv_error_clear);

Test(core_status, failures_carry_code_message_and_place) {
    cr_expect_str_eq(fv_error_message(), "");
    cr_expect_eq(three(), FV_ERR_SHAPE);
    cr_expect_str_eq(fv_error_message(), "3 dims, not two");
    cr_expect_eq(strncmp(fv_error_where(), "test_status.c:", 14), 0, "%s", fv_error_where());
    fv_error_clear();
    cr_expect_str_eq(fv_error_message(), "");
    cr_expect_str_eq(fv_error_where(), "");
}

Test(core_status, try_returns_the_first_failure) {
    cr_expect_eq(tried(1), FV_ERR_SHAPE);
    cr_expect_eq(tried(0), FV_ERR_IO);
    cr_expect_str_eq(fv_error_message(), "reached");
}

Test(core_status, context_stands_in_front) {
    const char *where;

    three();
    where = fv_error_where();
    cr_expect_eq(fv_error_context(FV_ERR_SHAPE, "blocks.%d", 7), FV_ERR_SHAPE);
    cr_expect_eq(fv_error_context(FV_ERR_CONFIG, "%s", "vit"), FV_ERR_CONFIG);
    cr_expect_str_eq(fv_error_message(), "vit: blocks.7: 3 dims, not two");
    cr_expect_str_eq(fv_error_where(), where); /* the cause's place, not the context's */
}

Test(core_status, long_messages_are_cut_short) {
    char text[4000];

    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = 0;
    FV_FAIL(FV_ERR_FORMAT, "head %s", text);
    const size_t n = strlen(fv_error_message());
    cr_assert(n > 500 && n < sizeof text);
    for (int i = 0; i < 300; i++) fv_error_context(FV_ERR_FORMAT, "outer %d", i);
    cr_expect_eq(strncmp(fv_error_message(), "outer 299: outer 298: ", 22), 0);
    cr_expect_eq(strlen(fv_error_message()), n);
    three();
    fv_error_context(FV_ERR_FORMAT, "%s", text); /* the context alone fills the buffer */
    cr_expect_eq(strlen(fv_error_message()), n);
    cr_expect_eq(fv_error_message()[0], 'x');
}

Test(core_status, messages_show_no_control_characters) {
    FV_FAIL(FV_ERR_FORMAT, "tensor '%s'", "a\x1b[31m\nb\t\x7f \xc3\xa9");
    cr_expect_str_eq(fv_error_message(), "tensor 'a?[31m?b?? \xc3\xa9'");
    fv_error_context(FV_ERR_FORMAT, "%s", "two\nlines");
    cr_expect_str_eq(fv_error_message(), "two?lines: tensor 'a?[31m?b?? \xc3\xa9'");
}

Test(core_status, every_code_has_its_own_text) {
#define FV_X(name, text) FV_ERR_##name,
    static const fv_status codes[] = {FV_OK, FV_STATUS_LIST(FV_X)};
#undef FV_X
    const int n = (int)(sizeof codes / sizeof *codes);

    for (int i = 0; i < n; i++) {
        cr_expect_eq((int)codes[i], i);
        for (int k = 0; k < i; k++)
            cr_expect_str_neq(fv_status_text(codes[i]), fv_status_text(codes[k]));
    }
    cr_expect_str_eq(fv_status_text(FV_OK), "ok");
    cr_expect_str_eq(fv_status_text(FV_ERR_SHAPE), "shape mismatch");
    cr_expect_str_eq(fv_status_text((fv_status)n), "unknown status");
    cr_expect_str_eq(fv_status_text((fv_status)-1), "unknown status");
}

static void *fail_elsewhere(void *arg) {
    (void)arg;
    const int was_empty = fv_error_message()[0] == 0;
    FV_FAIL(FV_ERR_IO, "of another thread");
    return was_empty ? "" : NULL;
}

Test(core_status, each_thread_has_its_own_message) {
    pthread_t thread;
    void *was_empty = NULL;

    three();
    cr_assert_eq(pthread_create(&thread, NULL, fail_elsewhere, NULL), 0);
    pthread_join(thread, &was_empty);
    cr_expect_not_null(was_empty);
    cr_expect_str_eq(fv_error_message(), "3 dims, not two");
}
