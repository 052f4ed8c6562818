#include "data/tar.h"

#include "core/alloc.h"
#include "tests/support/alloc_sweep.h"
#include "tests/support/picture.h"
#include "tests/support/tar_writer.h"

#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>

static char root[64], path[96];
static tar_writer tar;

static void enter(void) {
    test_folder_enter(root);
    snprintf(path, sizeof path, "%s/a.tar", root);
    tar.n = 0;
}
static void leave(void) { test_folder_leave(root); }
TestSuite(data_tar, .init = enter, .fini = leave);

/* Every member as "name:content,". */
typedef struct seen {
    char text[8192];
} seen;

static fv_status note(void *user, const fv_tar_member *m) {
    seen *s = user;
    const size_t n = strlen(s->text);

    snprintf(s->text + n, sizeof s->text - n, "%s:%.*s,", m->name, (int)m->size,
             (const char *)tar.bytes + m->offset);
    return FV_OK;
}

static fv_status walk(seen *s) {
    *s = (seen){""};
    test_write(path, tar.bytes, tar.n);
    return fv_tar_each(path, note, s);
}

static void expect(const char *text) {
    seen s;
    cr_assert_eq(walk(&s), FV_OK, "%s", fv_error_message());
    cr_expect_str_eq(s.text, text);
}

static void refused(fv_status status, const char *word) {
    seen s;
    cr_expect_eq(walk(&s), status, "%s", fv_error_message());
    cr_expect(strstr(fv_error_message(), word), "'%s' is missing: %s", word, fv_error_message());
    cr_expect(strstr(fv_error_message(), path), "the path is missing: %s", fv_error_message());
}

Test(data_tar, finds_files_and_passes_over_the_rest) {
    tar_add(&tar, '5', "./a/", "", 0);
    tar_add_text(&tar, "./a/1.jpg", "one");
    tar_add(&tar, '2', "a/link", "", 0);
    tar_add(&tar, 0, "a/2.jpg", "two", 3);
    tar_add_text(&tar, "empty", "");
    tar_add(&tar, 'g', "global", "20 comment=whatever\n", 20);
    expect("a/1.jpg:one,a/2.jpg:two,empty:,"); /* also without the blocks at the end */
    tar_end(&tar);
    expect("a/1.jpg:one,a/2.jpg:two,empty:,");
    tar_add_text(&tar, "behind", "the end"); /* belongs to nobody */
    expect("a/1.jpg:one,a/2.jpg:two,empty:,");
}

Test(data_tar, long_names) {
    char name[301], text[400], wanted[1024];

    memset(name, 'n', 300);
    name[300] = 0;
    tar_add(&tar, 'L', "././@LongLink", name, 301);
    tar_add_text(&tar, "short", "gnu");
    const int n = snprintf(text, sizeof text, "311 path=%.*s\n", 301, name) + 1;
    cr_assert_eq(n, 311);
    snprintf(text, sizeof text, "%d path=%s\n", n - 1, name);
    tar_add(&tar, 'x', "pax", text, strlen(text));
    tar_add_text(&tar, "short", "pax");
    tar_add_text(&tar, "short", "own"); /* the name of an extension is for one member only */
    const size_t at = tar.n;
    tar_add_text(&tar, "file", "prefix");
    memcpy(tar.bytes + at + 345, "folder/of", 9);
    tar_sign(&tar, at);
    snprintf(wanted, sizeof wanted, "%s:gnu,%s:pax,short:own,folder/of/file:prefix,", name, name);
    expect(wanted);
}

Test(data_tar, sizes) {
    size_t at = tar.n;
    tar_add_text(&tar, "base256", "abc");
    memset(tar.bytes + at + 124, 0, 12);
    tar.bytes[at + 124] = 0x80;
    tar.bytes[at + 135] = 3;
    tar_sign(&tar, at);
    tar_add(&tar, 'x', "pax", "9 size=2\n", 9);
    at = tar.n;
    tar_add_text(&tar, "pax", "xyz"); /* the pax header's size counts */
    expect("base256:abc,pax:xy,");
}

Test(data_tar, refuses_what_is_no_tar) {
    refused(FV_ERR_FORMAT, "no tar header"); /* empty */
    tar_add_text(&tar, "a", "content");
    tar_add_text(&tar, "b", "more");
    tar.bytes[1024] ^= 1;
    refused(FV_ERR_FORMAT, "no tar header at byte 1024");
    tar.bytes[1024] ^= 1;
    tar.n -= 512;
    refused(FV_ERR_FORMAT, "behind the end of the archive at byte 1024");
    tar.n -= 100;
    refused(FV_ERR_FORMAT, "an incomplete header at byte 1024");
    tar.n = 0;
    tar_add_text(&tar, "a", "");
    memcpy(tar.bytes + 124, "0000000x", 8);
    tar_sign(&tar, 0);
    refused(FV_ERR_FORMAT, "a broken size");
    tar.n = 0;
    tar_add(&tar, 'S', "a", "", 0);
    refused(FV_ERR_UNSUPPORTED, "sparse");
    cr_expect_eq(fv_tar_each("/absent.tar", note, NULL), FV_ERR_NOT_FOUND);
    cr_expect_eq(fv_tar_each(root, note, NULL), FV_ERR_FORMAT);
}

Test(data_tar, refuses_broken_extensions) {
    static const char *const texts[] = {"path=a\n",
                                        "9 path=a",
                                        "99 path=a\n",
                                        "4 a\n",
                                        "11 size=abc\n",
                                        "8 size=\n",
                                        "30 size=99999999999999999999\n"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        tar.n = 0;
        tar_add(&tar, 'x', "pax", texts[i], strlen(texts[i]));
        tar_add_text(&tar, "a", "");
        refused(FV_ERR_FORMAT, "at byte 0");
    }
    tar.n = 0;
    tar_add(&tar, 'x', "pax", "8 path=\n", 8);
    tar_add_text(&tar, "a", "");
    refused(FV_ERR_FORMAT, "without a name");
    static char name[5000];
    memset(name, 'n', sizeof name);
    tar.n = 0;
    tar_add(&tar, 'L', "long", name, sizeof name);
    refused(FV_ERR_FORMAT, "too long");
}

static fv_status each(void *arg) {
    seen s = {""};
    return fv_tar_each(arg, note, &s);
}

Test(data_tar, every_failing_allocation_is_reported) {
    tar_add(&tar, 'L', "long", "name", 5);
    tar_add_text(&tar, "a", "content");
    test_write(path, tar.bytes, tar.n);
    cr_assert_eq(alloc_sweep(each, path, NULL), FV_OK, "%s", fv_error_message());
}
