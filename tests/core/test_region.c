#include "core/alloc.h"
#include "core/region.h"

#include <criterion/criterion.h>

#include <string.h>
#include <unistd.h>

static fv_region region;

static void leave(void) {
    fv_alloc_fail_at(0);
    fv_region_destroy(&region);
    cr_expect_null(region.base);
}

TestSuite(core_region, .fini = leave);

Test(core_region, growing_moves_nothing) {
    cr_assert_eq(fv_region_reach(&region, 1), FV_OK);
    unsigned char *base = region.base;
    memset(base, 7, 1);
    for (size_t bytes = 100; bytes <= (size_t)64 << 20; bytes *= 7) {
        const size_t before = region.usable;
        cr_assert_eq(fv_region_reach(&region, bytes), FV_OK);
        cr_assert(region.usable >= bytes && region.usable >= before);
        cr_assert_eq(region.base, base);
        base[bytes - 1] = 7;
    }
    cr_expect_eq(base[0], 7);
    const uint64_t calls = fv_alloc_calls();
    cr_assert_eq(fv_region_reach(&region, 1000), FV_OK);
    cr_expect_eq(fv_alloc_calls(), calls);
}

Test(core_region, trimmed_pages_come_back_empty) {
    const size_t bytes = (size_t)32 << 20;

    cr_assert_eq(fv_region_reach(&region, bytes), FV_OK);
    memset(region.base, 7, bytes);
    fv_region_trim(&region, 100);
    cr_assert_eq(fv_region_reach(&region, bytes), FV_OK);
    cr_expect_eq(region.base[99], 7);
    cr_expect_eq(region.base[bytes - 1], 0);
    fv_region_trim(&region, bytes); /* nothing behind it */
}

Test(core_region, discarded_pages_are_whole_ones) {
    const size_t bytes = (size_t)4 << 20, page = (size_t)sysconf(_SC_PAGESIZE);

    cr_assert_eq(fv_region_reach(&region, bytes), FV_OK);
    memset(region.base, 7, bytes);
    fv_region_discard(&region, page + 1, 3 * page - 2); /* of pages 1 to 3 only 2 is whole */
    for (size_t i = 0; i < 8 * page; i++)
        cr_assert_eq(region.base[i], i >= 2 * page && i < 3 * page ? 0 : 7, "byte %zu", i);
    fv_region_discard(&region, 5 * page + 1, page - 2); /* no whole page */
    cr_expect_eq(region.base[5 * page + 10], 7);
}

Test(core_region, what_cannot_be_had_is_refused) {
    cr_assert_eq(fv_region_reach(&region, 100), FV_OK);
    const fv_region before = region;
    cr_expect_eq(fv_region_reach(&region, SIZE_MAX), FV_ERR_NOMEM);
    fv_alloc_fail_at(1);
    cr_expect_eq(fv_region_reach(&region, region.usable + 1), FV_ERR_NOMEM);
    cr_expect_eq(memcmp(&before, &region, sizeof region), 0);
    cr_expect_eq(fv_region_reach(&region, region.usable + 1), FV_OK);
}
