#include "core/arena.h"

#include "core/alloc.h"
#include "core/status.h"
#include "tests/support/alloc_sweep.h"

#include <criterion/criterion.h>

#include <stdint.h>
#include <string.h>

static fv_arena arena;

static void leave(void) {
    fv_alloc_fail_at(0);
    fv_arena_destroy(&arena);
}

TestSuite(core_arena, .fini = leave);

Test(core_arena, blocks_are_aligned_and_keep_their_content) {
    unsigned char *block[300];

    for (int i = 0; i < 300; i++) {
        const size_t n = (size_t)(i * 37 % 1000);
        block[i] = fv_arena_alloc(&arena, n, 1);
        cr_assert(block[i]);
        cr_assert_eq((uintptr_t)block[i] % FV_ALIGN, 0);
        memset(block[i], i, n);
    }
    for (int i = 0; i < 300; i++)
        for (size_t k = 0; k < (size_t)(i * 37 % 1000); k++)
            cr_assert_eq(block[i][k], (unsigned char)i, "block %d, byte %zu", i, k);
}

Test(core_arena, blocks_larger_than_a_chunk) {
    arena.chunk_bytes = 128;
    unsigned char *small = fv_arena_alloc(&arena, 10, 1);
    unsigned char *large = fv_arena_calloc(&arena, 100, 100);
    unsigned char *next = fv_arena_alloc(&arena, 64, 1);
    cr_assert(small && large && next);
    memset(small, 1, 10);
    memset(next, 2, 64);
    for (int i = 0; i < 10000; i++) cr_assert_eq(large[i], 0);
}

Test(core_arena, rewinding_reuses_the_memory) {
    char *first = fv_arena_alloc(&arena, 100, 1);
    const fv_arena_mark mark = fv_arena_get_mark(&arena);

    for (int i = 0; i < 100; i++) cr_assert(fv_arena_alloc(&arena, 5000, 1));
    const uint64_t calls = fv_alloc_calls();
    cr_assert(first);
    strcpy(first, "stays");
    for (int round = 0; round < 3; round++) {
        fv_arena_rewind(&arena, mark);
        for (int i = 0; i < 100; i++) {
            char *p = fv_arena_alloc(&arena, 5000, 1);
            cr_assert(p);
            memset(p, 'x', 5000);
        }
    }
    cr_expect_eq(fv_alloc_calls(), calls);
    cr_expect_str_eq(first, "stays");
    fv_arena_rewind(&arena, (fv_arena_mark){0});
    cr_expect_eq(fv_arena_alloc(&arena, 100, 1), (void *)first);
    cr_expect_eq(fv_alloc_calls(), calls);
}

/* A kept chunk that is too small for the next block is passed over, not lost and not overrun. */
Test(core_arena, sizes_may_change_after_a_rewind) {
    arena.chunk_bytes = 256;
    for (int i = 0; i < 8; i++) cr_assert(fv_arena_alloc(&arena, 256, 1));
    fv_arena_rewind(&arena, (fv_arena_mark){0});
    unsigned char *large = fv_arena_alloc(&arena, 4096, 1);
    cr_assert(large);
    memset(large, 7, 4096);
    for (int i = 0; i < 20; i++) {
        unsigned char *p = fv_arena_alloc(&arena, 200, 1);
        cr_assert(p);
        memset(p, i, 200);
    }
    for (int i = 0; i < 4096; i++) cr_assert_eq(large[i], 7);
}

Test(core_arena, strings) {
    cr_expect_str_eq(fv_arena_strdup(&arena, "blocks"), "blocks");
    cr_expect_str_eq(fv_arena_printf(&arena, "%s.%d.%s", "blocks", 3, "norm1"), "blocks.3.norm1");
    cr_expect_str_eq(fv_arena_printf(&arena, "%s", ""), "");
    char *wide = fv_arena_printf(&arena, "%0200000d", 1);
    cr_assert(wide);
    cr_expect_eq(strlen(wide), 200000);
}

Test(core_arena, sizes_that_overflow_are_refused) {
    cr_assert(fv_arena_alloc(&arena, 1, 1));
    cr_expect_null(fv_arena_alloc(&arena, SIZE_MAX, 2));
    cr_expect_null(fv_arena_alloc(&arena, SIZE_MAX, 1));
    cr_expect_null(fv_arena_alloc(&arena, SIZE_MAX - 100, 1));
    cr_expect_null(fv_arena_calloc(&arena, SIZE_MAX / 8, 16));
    cr_expect(fv_arena_alloc(&arena, 1, 1)); /* and the arena is still good */
}

Test(core_arena, destroying_leaves_it_ready_to_use) {
    arena.chunk_bytes = 512;
    cr_assert(fv_arena_alloc(&arena, 10, 1));
    fv_arena_destroy(&arena);
    cr_expect(!arena.first && !arena.current && arena.chunk_bytes == 0);
    fv_arena_destroy(&arena);
    cr_expect(fv_arena_alloc(&arena, 10, 1));
}

static fv_status use_an_arena(void *arg) {
    fv_arena a = {.chunk_bytes = 64};
    fv_status status = FV_ERR_NOMEM;

    (void)arg;
    if (!fv_arena_alloc(&a, 60, 1)) goto cleanup;
    const fv_arena_mark mark = fv_arena_get_mark(&a);
    if (!fv_arena_calloc(&a, 100, 10) || !fv_arena_strdup(&a, "a string")) goto cleanup;
    fv_arena_rewind(&a, mark);
    if (fv_arena_printf(&a, "%02000d", 3)) status = FV_OK;
cleanup:
    fv_arena_destroy(&a);
    return status;
}

Test(core_arena, every_allocation_may_fail) {
    alloc_sweep_result r;
    cr_assert_eq(alloc_sweep(use_an_arena, NULL, &r), FV_OK, "%s", fv_error_message());
    cr_expect(r.failures == 4 && r.tolerated == 0, "%d", (int)r.failures);
}
