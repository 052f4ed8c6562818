#include "core/alloc.h"

#include "core/status.h"
#include "tests/support/alloc_sweep.h"

#include <criterion/criterion.h>
#include <criterion/redirect.h>

#include <pthread.h>
#include <stdint.h>
#include <string.h>

static void leave(void) { fv_alloc_fail_at(0); }

TestSuite(core_alloc, .fini = leave);

Test(core_alloc, blocks_are_aligned_and_usable) {
    static const size_t sizes[] = {0, 1, 63, 64, 65, 4096, 100001};

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        unsigned char *p = fv_alloc(sizes[i], 1);
        unsigned char *z = fv_calloc(1, sizes[i]);
        cr_assert(p && z);
        cr_expect_eq((uintptr_t)p % FV_ALIGN, 0);
        cr_expect_eq((uintptr_t)z % FV_ALIGN, 0);
        memset(p, 0xab, sizes[i]);
        for (size_t k = 0; k < sizes[i]; k++) cr_assert_eq(z[k], 0);
        fv_free(p);
        fv_free(z);
    }
    fv_free(NULL);
}

Test(core_alloc, sizes_that_overflow_are_refused) {
    static const size_t bad[][2] = {{SIZE_MAX, 1},
                                    {SIZE_MAX, 2},
                                    {SIZE_MAX / 2 + 1, 2},
                                    {SIZE_MAX - 64, 1},
                                    {(size_t)1 << 33, 1ull << 33},
                                    {SIZE_MAX - 126, 1}};

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        fv_error_clear();
        cr_expect_null(fv_alloc(bad[i][0], bad[i][1]));
        cr_expect(strstr(fv_error_message(), "overflows"), "%s", fv_error_message());
        cr_expect_null(fv_calloc(bad[i][0], bad[i][1]));
        cr_expect_null(fv_realloc(NULL, bad[i][0], bad[i][1]));
    }
}

Test(core_alloc, realloc_keeps_the_content) {
    unsigned char *p = fv_realloc(NULL, 10, 1);

    cr_assert(p);
    for (int i = 0; i < 10; i++) p[i] = (unsigned char)(i + 1);
    p = fv_realloc(p, 1000, 1);
    cr_assert(p);
    for (int i = 0; i < 10; i++) cr_assert_eq(p[i], i + 1);
    p = fv_realloc(p, 4, 1);
    cr_assert(p);
    for (int i = 0; i < 4; i++) cr_assert_eq(p[i], i + 1);
    fv_alloc_fail_at(1);
    cr_assert_null(fv_realloc(p, 64, 1));
    for (int i = 0; i < 4; i++) cr_assert_eq(p[i], i + 1); /* the old block is untouched */
    fv_free(p);
}

Test(core_alloc, strings_are_copied) {
    char text[] = "halo";
    char *copy = fv_strdup(text);

    text[0] = 'x';
    cr_assert_str_eq(copy, "halo");
    fv_free(copy);
    copy = fv_strdup("");
    cr_assert_str_eq(copy, "");
    fv_free(copy);
}

Test(core_alloc, the_chosen_allocation_fails_and_only_that_one) {
    fv_error_clear();
    fv_alloc_fail_at(3);
    void *a = fv_alloc(1, 8), *b = fv_calloc(1, 8), *c = fv_alloc(1, 8), *d = fv_alloc(1, 8);
    cr_expect(a && b && d);
    cr_expect_null(c);
    cr_expect_str_eq(fv_error_message(), "cannot allocate 8 bytes");
    fv_free(a);
    fv_free(b);
    fv_free(d);
    fv_alloc_fail_at(1);
    fv_alloc_fail_at(0);
    a = fv_alloc(1, 1);
    cr_expect(a);
    fv_free(a);
}

int __asan_address_is_poisoned(const volatile void *p) __attribute__((weak));

/* The rounding of sizes must not hide an overrun from AddressSanitizer. */
Test(core_alloc, the_sanitizer_knows_where_a_block_ends) {
    if (!__asan_address_is_poisoned) cr_skip_test("not built with AddressSanitizer");
    for (size_t n = 0; n < 200; n++) {
        unsigned char *p = fv_alloc(n, 1);
        cr_assert(p);
        cr_assert(__asan_address_is_poisoned(p + n), "%zu", n);
        cr_assert(n == 0 || !__asan_address_is_poisoned(p + n - 1), "%zu", n);
        fv_free(p);
    }
}

static void *allocate_often(void *arg) {
    (void)arg;
    for (int i = 0; i < 1000; i++) fv_free(fv_alloc(1, 1));
    return NULL;
}

Test(core_alloc, calls_are_counted_over_threads) {
    const uint64_t before = fv_alloc_calls();
    pthread_t threads[4];

    for (int i = 0; i < 4; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, allocate_often, NULL), 0);
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    cr_assert_eq(fv_alloc_calls() - before, 4000);
}

/* ---- the sweep itself: it must see what it is for ---- */

typedef struct two_blocks {
    int leak, wrong_code, optional;
    uintptr_t lost; /* the leaked block, hidden from LeakSanitizer by its complement */
} two_blocks;

static fv_status make_two(void *arg) {
    two_blocks *how = arg;
    void *first = fv_alloc(1, 100), *second = NULL;
    fv_status status = first ? FV_OK : FV_ERR_NOMEM;

    if (first) {
        second = fv_alloc(1, 200);
        if (!second && !how->optional) status = how->wrong_code ? FV_ERR_IO : FV_ERR_NOMEM;
    }
    fv_free(second);
    if (status != FV_OK && how->leak && first)
        how->lost = ~(uintptr_t)first;
    else
        fv_free(first);
    return status;
}

Test(core_alloc, the_sweep_fails_every_allocation_once) {
    alloc_sweep_result r;

    cr_assert_eq(alloc_sweep(make_two, &(two_blocks){0}, &r), FV_OK, "%s", fv_error_message());
    cr_expect(r.failures == 2 && r.tolerated == 0);
    cr_assert_eq(alloc_sweep(make_two, &(two_blocks){.optional = 1}, &r), FV_OK);
    cr_expect(r.failures == 2 && r.tolerated == 1);
    cr_expect_eq(alloc_sweep(make_two, &(two_blocks){.wrong_code = 1}, NULL), FV_ERR_INTERNAL);
    cr_expect(strstr(fv_error_message(), "allocation 2"), "%s", fv_error_message());
}

int __lsan_do_recoverable_leak_check(void) __attribute__((weak));

Test(core_alloc, the_sweep_sees_leaks) {
    two_blocks how = {.leak = 1};

    if (!__lsan_do_recoverable_leak_check) cr_skip_test("not built with LeakSanitizer");
    cr_redirect_stderr(); /* its report is expected here, and CTest fails on one elsewhere */
    cr_expect_eq(alloc_sweep(make_two, &how, NULL), FV_ERR_INTERNAL);
    cr_expect(strstr(fv_error_message(), "leaked"), "%s", fv_error_message());
    fv_free((void *)~how.lost);
}
