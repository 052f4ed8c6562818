/* The examples that --help gives work: each is run as it stands, in a folder that has the files it names, with
 * options behind it that make it small. */
#include "cli/command_list.h"
#include "data/synth.h"
#include "models/weights.h"
#include "tests/support/run_cli.h"

#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define MARK "\nExample:\n"

static const struct {
    const char *start, *smaller; /* of a line; the first that fits counts */
} sizes[] = {
    {"train --resume", "--workers 0"},
    {"train", "--img-size 32 --model-kwargs depth=2 --batch-size 2 --max-steps 1 --workers 0"},
    {"bench", "--img-size 64 --batch-size 1 --steps 1 --warmup 0"},
    {"faithful", "--count 1"},
    {"analyze", "--count 1"},
    {"data synth", "--train 20 --val 10"},
    {"data export", "--batch-size 4"},
    {"", ""}};

/* What the examples expect to find: data, two photographs and davit_tiny.safetensors. */
static void enter(void) {
    const fv_synth_config synth = {
        .n_classes = 3, .size_px = 32, .n_train = 6, .n_val = 3, .seed = 1};
    fv_model *model;

    cli_enter();
    cr_assert_eq(chdir(cli_path("")), 0);
    cr_assert_eq(fv_synth_write("data", &synth, false, NULL), FV_OK);
    cr_assert_eq(cli_run_program("cp", "data/validation/disc/*_00000.jpg cat.jpg"), 0);
    cr_assert_eq(cli_run_program("cp", "cat.jpg photo.jpg"), 0);
    cr_assert_eq(fv_model_create(&(fv_model_config){.name = "davit_tiny"}, false, &model), FV_OK);
    fv_model_init(model, 1);
    cr_assert_eq(fv_model_save(model, NULL, "davit"), FV_OK, "%s", fv_error_message());
    fv_model_destroy(model);
    cr_assert_eq(rename("davit/model.safetensors", "davit_tiny.safetensors"), 0);
}

TestSuite(cli_examples, .init = enter, .fini = cli_leave);

static void run_line(const char *line) {
    size_t k = 0;

    while (strncmp(line, sizes[k].start, strlen(sizes[k].start)) != 0) k++;
    cr_assert_eq(cli_run("%s %s", line, sizes[k].smaller), 0, "%s: %s", line, cli_err);
    cr_assert(*cli_out || strncmp(line, "train", 5) == 0, "%s says nothing", line);
    if (strstr(line, "--json")) cr_assert(cli_json(), "%s: %s", line, cli_out);
}

/* Every line "  fovea ..." below the mark, with all its commands in the order of the list: what one of them
 * writes (run, shapes) another reads. */
static int run_examples(const char *command) {
    char text[4096];
    int n = 0;

    cr_assert_eq(cli_run("%s --help", command), 0);
    const char *start = strstr(cli_out, MARK);
    cr_assert(start, "%s", command);
    snprintf(text, sizeof text, "%s", start + strlen(MARK));
    for (char *line = text; strncmp(line, "  fovea ", 8) == 0; n++) {
        char *end = strchr(line, '\n');
        cr_assert(end, "%s", line);
        *end = '\0';
        run_line(line + 8);
        line = end + 1;
    }
    return n;
}

Test(cli_examples, every_example_works) {
#define FV_X(name) cr_assert_gt(run_examples(#name), 0, "%s", #name);
    FV_COMMAND_LIST(FV_X)
#undef FV_X
}
