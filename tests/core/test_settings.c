#include "core/settings.h"

#include "core/alloc.h"
#include "core/file.h"
#include "core/option.h"
#include "tests/support/alloc_sweep.h"

#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Values through files; single options are in test_option.c. */

static char path[64];

static void enter(void) {
    strcpy(path, "/tmp/fovea_settings_XXXXXX");
    const int file = mkstemp(path);
    cr_assert_geq(file, 0);
    close(file);
}

static void leave(void) {
    fv_alloc_fail_at(0);
    unlink(path);
}

TestSuite(core_settings, .init = enter, .fini = leave);

static void write_file(const char *text) {
    cr_assert_eq(fv_file_write(path, text, strlen(text)), FV_OK, "%s", fv_error_message());
}

static const char example[] = "# an experiment\n"
                              "model: vit_tiny_patch16_224\n"
                              "model_kwargs: {depth: 2, attention: {kind: window}}\n"
                              "lr: 1e-3\n"
                              "opt_betas: [0.9, 0.95]\n"
                              "epochs: 7\n"
                              "out:\n";

static fv_status load(void *arg) {
    fv_settings s;

    (void)arg;
    fv_settings_init(&s);
    s.arena.chunk_bytes = 64; /* many allocations */
    const fv_status status = fv_settings_load(&s, path, FV_CMD_TRAIN);
    fv_settings_destroy(&s);
    return status;
}

Test(core_settings, every_allocation_of_loading_may_fail) {
    alloc_sweep_result r;

    write_file(example);
    cr_assert_eq(alloc_sweep(load, NULL, &r), FV_OK, "%s", fv_error_message());
    cr_expect(r.failures > 5 && r.tolerated == 0, "%d, %d", (int)r.failures, (int)r.tolerated);
}

/* What is written loads to the same, and is written in the same words again. */
Test(core_settings, resolved_settings_are_a_fixed_point) {
    fv_settings a, b;
    char *first = NULL, *second = NULL;

    write_file(example);
    fv_settings_init(&a);
    fv_settings_init(&b);
    cr_assert_eq(fv_settings_load(&a, path, FV_CMD_TRAIN), FV_OK, "%s", fv_error_message());
    cr_expect(a.epochs == 7 && a.lr == 1e-3 && a.opt_betas.count == 2 && a.opt_betas.v[1] == 0.95);
    cr_expect(a.given.epochs && !a.given.seed && !a.given.out); /* null leaves an option alone */
    cr_assert_eq(fv_settings_write(&a, FV_CMD_TRAIN, &a.arena, &first), FV_OK);
    write_file(first);
    cr_assert_eq(fv_settings_load(&b, path, FV_CMD_TRAIN), FV_OK, "%s", fv_error_message());
    cr_assert_eq(fv_settings_write(&b, FV_CMD_TRAIN, &b.arena, &second), FV_OK);
    cr_expect_str_eq(first, second);
    cr_expect_eq(b.lr, a.lr);
    cr_expect_str_eq(b.model, "vit_tiny_patch16_224");
    fv_settings_destroy(&a);
    fv_settings_destroy(&b);
}
