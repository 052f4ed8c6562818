#include "core/file.h"

#include "core/alloc.h"

#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char root[64], path[128];

static void enter(void) {
    strcpy(root, "/tmp/fovea_file_XXXXXX");
    cr_assert_not_null(mkdtemp(root));
}

static void leave(void) {
    fv_alloc_fail_at(0);
    fv_folder_remove(root);
}

TestSuite(core_file, .init = enter, .fini = leave);

static const char *in_root(const char *name) {
    snprintf(path, sizeof path, "%s/%s", root, name);
    return path;
}

Test(core_file, writes_and_reads) {
    uint8_t *bytes;
    size_t n;

    cr_assert_eq(fv_file_write(in_root("a"), "one\0two", 7), FV_OK);
    cr_assert_eq(fv_file_read(path, 7, &bytes, &n), FV_OK);
    cr_assert(n == 7 && memcmp(bytes, "one\0two", 8) == 0, "with a final 0 byte");
    fv_free(bytes);
    cr_assert_eq(fv_file_write(path, "", 0), FV_OK);
    cr_assert_eq(fv_file_read(path, 0, &bytes, &n), FV_OK);
    cr_assert_eq(n, 0);
    fv_free(bytes);
    cr_assert(fv_file_exists(path));
    cr_assert_not(fv_folder_exists(path));
    cr_assert_not(fv_file_exists(in_root("a.tmp")));
}

Test(core_file, read_errors) {
    uint8_t *bytes = (uint8_t *)path;
    size_t n;

    cr_assert_eq(fv_file_read(in_root("absent"), 10, &bytes, &n), FV_ERR_NOT_FOUND);
    cr_assert_not_null(strstr(fv_error_message(), path));
    cr_assert_null(bytes);
    cr_assert_eq(fv_file_read(root, 10, &bytes, &n), FV_ERR_FORMAT);
    cr_assert_eq(fv_file_read("/dev/zero", 10, &bytes, &n), FV_ERR_FORMAT);
    cr_assert_eq(mkfifo(in_root("fifo"), 0600), 0);
    cr_assert_eq(fv_file_read(path, 10, &bytes, &n), FV_ERR_FORMAT, "and no waiting for a writer");
    cr_assert_eq(fv_file_write(in_root("big"), "12345", 5), FV_OK);
    cr_assert_eq(fv_file_read(path, 4, &bytes, &n), FV_ERR_FORMAT);
}

Test(core_file, failed_write_keeps_the_old_file) {
    uint8_t *bytes;
    size_t n;

    cr_assert_eq(fv_file_write(in_root("a"), "old", 3), FV_OK);
    cr_assert_eq(fv_folder_create(in_root("a.tmp")), FV_OK); /* the temporary cannot be opened */
    cr_assert_eq(fv_file_write(in_root("a"), "new", 3), FV_ERR_IO);
    cr_assert_eq(fv_file_read(path, 10, &bytes, &n), FV_OK);
    cr_assert_eq(memcmp(bytes, "old", 3), 0);
    fv_free(bytes);
    cr_assert_eq(fv_file_write(in_root("no/such/folder"), "x", 1), FV_ERR_NOT_FOUND);
    cr_assert_eq(fv_folder_create(in_root("folder")), FV_OK);
    cr_assert_eq(fv_file_write(path, "x", 1), FV_ERR_IO);
    cr_assert_not(fv_file_exists(in_root("folder.tmp")), "no temporary is left behind");
}

Test(core_file, folders) {
    fv_names names;

    cr_assert_eq(fv_folder_create(in_root("x//y/z/")), FV_OK);
    cr_assert_eq(fv_folder_create(path), FV_OK);
    cr_assert(fv_folder_exists(path));
    cr_assert_eq(fv_folder_sync(path), FV_OK);
    cr_assert_eq(fv_file_write(in_root("x/b"), "", 0), FV_OK);
    cr_assert_eq(fv_file_write(in_root("x/B"), "", 0), FV_OK);
    cr_assert_eq(fv_file_write(in_root("x/.c"), "", 0), FV_OK);
    cr_assert_eq(fv_folder_list(in_root("x"), &names), FV_OK);
    cr_assert_eq(names.count, 4);
    static const char *const expected[] = {".c", "B", "b", "y"};
    for (int i = 0; i < 4; i++) cr_assert_str_eq(names.name[i], expected[i]);
    fv_names_free(&names);
    cr_assert_eq(fv_folder_list(in_root("absent"), &names), FV_ERR_NOT_FOUND);
    cr_assert_eq(fv_folder_create(in_root("x/b/c")), FV_ERR_IO, "b is a file");
    cr_assert_eq(fv_folder_create(in_root("x/b")), FV_ERR_IO);
}

Test(core_file, remove_does_not_follow_links) {
    cr_assert_eq(fv_folder_create(in_root("kept")), FV_OK);
    cr_assert_eq(fv_file_write(in_root("kept/file"), "x", 1), FV_OK);
    cr_assert_eq(fv_folder_create(in_root("gone/deep")), FV_OK);
    cr_assert_eq(symlink("../kept", in_root("gone/link")), 0);
    cr_assert_eq(fv_folder_remove(in_root("gone")), FV_OK);
    cr_assert_not(fv_folder_exists(path));
    cr_assert(fv_file_exists(in_root("kept/file")));
    cr_assert_eq(symlink("kept", in_root("link")), 0);
    cr_assert_eq(fv_folder_remove(path), FV_OK);
    cr_assert_eq(fv_folder_remove(path), FV_OK, "absent is fine");
    cr_assert_eq(fv_folder_remove(in_root("kept/file")), FV_ERR_IO);
    cr_assert(fv_file_exists(in_root("kept/file")));
}

Test(core_file, one_claims_a_folder) {
    int first, second;

    cr_assert_eq(fv_folder_claim(root, &first), FV_OK);
    cr_assert_eq(fv_folder_claim(root, &second), FV_ERR_IO);
    cr_assert_eq(second, -1);
    cr_assert_not_null(strstr(fv_error_message(), root));
    fv_folder_release(second);
    fv_folder_release(first);
    cr_assert_eq(fv_folder_claim(root, &second), FV_OK);
    fv_folder_release(second);
    cr_assert_eq(fv_folder_claim(in_root("absent"), &first), FV_ERR_NOT_FOUND);
}

Test(core_file, every_allocation_may_fail) {
    for (uint64_t n = 1;; n++) {
        fv_names names = {0};
        uint8_t *bytes = NULL;
        size_t n_bytes;
        fv_alloc_fail_at(n);
        fv_status status = fv_folder_create(in_root("d"));
        if (status == FV_OK) status = fv_file_write(in_root("d/1"), "1", 1);
        if (status == FV_OK) status = fv_file_write(in_root("d/2"), "2", 1);
        if (status == FV_OK) status = fv_file_read(path, 10, &bytes, &n_bytes);
        if (status == FV_OK) status = fv_folder_list(in_root("d"), &names);
        fv_alloc_fail_at(0);
        fv_free(bytes);
        fv_names_free(&names);
        if (status == FV_OK) {
            cr_assert_gt(n, 7);
            return;
        }
        cr_assert_eq(status, FV_ERR_NOMEM);
    }
}
