#include "data/buffer.h"

#include "core/alloc.h"
#include "core/file.h"
#include "tests/support/picture.h"

#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static char root[64], path[96];

static void enter(void) {
    test_folder_enter(root);
    snprintf(path, sizeof path, "%s/file", root);
}

static void leave(void) {
    fv_alloc_fail_at(0);
    test_folder_leave(root);
}

TestSuite(data_buffer, .init = enter, .fini = leave);

Test(data_buffer, reads_and_reuses_its_memory) {
    fv_buffer buffer = {0};

    test_write(path, "hello", 5);
    cr_assert_eq(fv_buffer_read(&buffer, path, 100), FV_OK);
    cr_expect(buffer.size == 5 && memcmp(buffer.bytes, "hello", 5) == 0);
    const uint64_t calls = fv_alloc_calls();
    cr_assert_eq(fv_buffer_read(&buffer, path, 100), FV_OK);
    cr_expect_eq(fv_alloc_calls(), calls);
    test_write(path, "", 0);
    cr_assert_eq(fv_buffer_read(&buffer, path, 100), FV_OK);
    cr_expect_eq(buffer.size, 0);
    fv_buffer_free(&buffer);
    cr_expect_null(buffer.bytes);
}

Test(data_buffer, errors_name_the_path) {
    fv_buffer buffer = {0};

    cr_expect_eq(fv_buffer_read(&buffer, path, 100), FV_ERR_NOT_FOUND);
    cr_expect(strstr(fv_error_message(), path));
    cr_expect_eq(fv_buffer_read(&buffer, root, 100), FV_ERR_FORMAT);
    cr_expect(strstr(fv_error_message(), root));
    test_write(path, "hello", 5);
    cr_expect_eq(fv_buffer_read(&buffer, path, 4), FV_ERR_FORMAT);
    cr_expect(strstr(fv_error_message(), path));
    fv_alloc_fail_at(1);
    cr_expect_eq(fv_buffer_read(&buffer, path, 5), FV_ERR_NOMEM);
    fv_alloc_fail_at(0);
    cr_assert_eq(remove(path), 0);
    cr_assert_eq(mkfifo(path, 0600), 0);
    cr_expect_eq(fv_buffer_read(&buffer, path, 5), FV_ERR_FORMAT, "a pipe without a writer");
    fv_buffer_free(&buffer);
}
