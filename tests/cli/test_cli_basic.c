/* Runs the built program and looks at stdout, stderr and the exit status. */
#include "cli/command_list.h"
#include "core/alloc.h"
#include "core/file.h"
#include "core/json.h"

#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROGRAM FOVEA_BINARY_DIR "/fovea"

static char folder[64], out[1 << 16], err[1 << 16];

static void enter(void) {
    strcpy(folder, "/tmp/fovea_cli_XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
}

static void leave(void) { fv_folder_remove(folder); }

TestSuite(cli_basic, .init = enter, .fini = leave);

static void slurp(const char *name, char *text, size_t capacity) {
    char path[128];
    uint8_t *bytes;
    size_t n;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    cr_assert_eq(fv_file_read(path, capacity - 1, &bytes, &n), FV_OK, "%s", fv_error_message());
    memcpy(text, bytes, n + 1);
    fv_free(bytes);
}

/* Runs "fovea arguments" by the shell; returns the exit status, fills out and err. */
static int fovea(const char *arguments) {
    char line[1024];

    snprintf(line, sizeof line, "%s %s >%s/out 2>%s/err", PROGRAM, arguments, folder, folder);
    const int status = system(line);
    slurp("out", out, sizeof out);
    slurp("err", err, sizeof err);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void refuses(const char *arguments, const char *message) {
    cr_assert_eq(fovea(arguments), 2, "%s", arguments);
    cr_assert_str_eq(out, "");
    cr_assert_str_eq(err, message);
}

Test(cli_basic, help_lists_every_command) {
    cr_assert_eq(fovea("--help"), 0);
    cr_assert_str_eq(err, "");
#define FV_X(name) cr_assert_not_null(strstr(out, "\n  " #name " "), "%s", #name);
    FV_COMMAND_LIST(FV_X)
#undef FV_X
    cr_assert_eq(fovea(""), 2, "without a command the help is a message");
    cr_assert_str_eq(out, "");
    cr_assert_not_null(strstr(err, "Usage: fovea COMMAND"));
}

Test(cli_basic, every_command_explains_itself) {
#define FV_X(name)                                                     \
    cr_assert_eq(fovea(#name " --help"), 0);                           \
    cr_assert_str_eq(err, "");                                         \
    cr_assert_not_null(strstr(out, "Usage: fovea " #name), "%s", out); \
    cr_assert_not_null(strstr(out, "\nExample:\n  fovea " #name), "%s", out);
    FV_COMMAND_LIST(FV_X)
#undef FV_X
    cr_assert_eq(fovea("help info"), 0);
    cr_assert_not_null(strstr(out, "Usage: fovea info"));
}

Test(cli_basic, version) {
    cr_assert_eq(fovea("--version"), 0);
    cr_assert_str_eq(out, "fovea " FOVEA_VERSION "\n");
}

Test(cli_basic, info) {
    cr_assert_eq(fovea("info"), 0, "%s", err);
    cr_assert_str_eq(err, "");
    cr_assert_not_null(strstr(out, "linear_f32"));
}

Test(cli_basic, info_as_json) {
    fv_arena arena = {0};
    fv_value *info;

    cr_assert_eq(fovea("info --json --threads 1"), 0, "%s", err);
    cr_assert_eq(fv_json_parse(out, strlen(out), "out", &arena, &info), FV_OK, "%s", out);
    cr_assert_str_eq(fv_value_find(info, "version")->text, FOVEA_VERSION);
    cr_assert_eq(fv_value_find(info, "threads")->integer, 1);
    cr_assert_geq(fv_value_find(info, "threads_available")->integer, 1);
    cr_assert_not_null(fv_value_find(fv_value_find(info, "kernels"), "linear_f32"));
    fv_arena_destroy(&arena);
}

Test(cli_basic, usage_errors_leave_stdout_empty) {
    refuses("inof", "fovea: error: unknown command 'inof'; did you mean 'info'? (see fovea "
                    "--help)\n");
    refuses("frobnicate", "fovea: error: unknown command 'frobnicate' (see fovea --help)\n");
    refuses("info --thread 1", "fovea: error: unknown option '--thread'; did you mean "
                               "'--threads'?\n");
    refuses("info --epochs 1", "fovea: error: --epochs is not an option of info; it belongs to "
                               "train\n");
    refuses("info --threads many", "fovea: error: --threads: expected an integer, got a string "
                                   "'many'\n");
    refuses("info --threads", "fovea: error: --threads needs a value\n");
    refuses("info extra", "fovea: error: info: unexpected argument 'extra'; usage: fovea info "
                          "[options]\n");
    refuses("help inof", "fovea: error: unknown command 'inof'; did you mean 'info'? (see fovea "
                         "--help)\n");
}

Test(cli_basic, colours_only_on_request) {
    cr_assert_eq(fovea("info --color always --threads -5"), 2);
    cr_assert_not_null(strstr(err, "\033[31merror:"), "%s", err);
    cr_assert_eq(fovea("info --threads -5"), 2, "stderr is no terminal here");
    cr_assert_null(strstr(err, "\033"), "%s", err);
    cr_assert_eq(fovea("info --color never"), 0);
    cr_assert_null(strstr(out, "\033"));
}

Test(cli_basic, a_full_disk_is_a_failure) {
    char line[512];

    snprintf(line, sizeof line, "%s info >/dev/full 2>%s/err", PROGRAM, folder);
    const int status = system(line);
    slurp("err", err, sizeof err);
    cr_assert_eq(WEXITSTATUS(status), 1);
    cr_assert_str_eq(err, "fovea: error: cannot write to standard output: No space left on "
                          "device\n");
}

Test(cli_basic, options_are_documented) {
    fv_arena arena = {0};
    fv_value *list;

    cr_assert_eq(fovea("options"), 0);
    cr_assert_not_null(strstr(out, "| `batch_size` | integer | 128 | "));
    cr_assert_eq(fovea("options 'lr_base' --json"), 0);
    cr_assert_eq(fv_json_parse(out, strlen(out), "out", &arena, &list), FV_OK, "%s", out);
    cr_assert_eq(list->count, 1);
    cr_assert_str_eq(fv_value_find(list->first, "default")->text, "0.1");
    fv_arena_destroy(&arena);
}

Test(cli_basic, print_config) {
    cr_assert_eq(fovea("info --print-config --threads 2"), 0);
    cr_assert_str_eq(out, "threads: 2\n");
    cr_assert_str_eq(err, "");
}
