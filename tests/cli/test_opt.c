#include "cli/opt.h"

#include "cli/help.h"
#include "core/alloc.h"
#include "core/file.h"
#include "core/json.h"

#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const fv_command train = {.name = "train",
                                 .summary = "train",
                                 .usage = "-c FILE",
                                 .example = "fovea train -c a.yaml",
                                 .options = FV_CMD_TRAIN,
                                 .max_args = 2};
static const fv_command bench = {.name = "bench",
                                 .summary = "bench",
                                 .usage = "WHAT",
                                 .example = "fovea bench train",
                                 .options = FV_CMD_BENCH,
                                 .file_options = FV_CMD_TRAIN,
                                 .min_args = 1,
                                 .max_args = -1};

static fv_args args;
static fv_opt_action action;

static void leave(void) {
    fv_alloc_fail_at(0);
    fv_args_destroy(&args);
}

TestSuite(cli_opt, .fini = leave);

/* Words separated by single spaces. */
static fv_status parse(const fv_command *command, const char *line) {
    static char words[512];
    char *argv[64], *rest = NULL;
    int argc = 0;

    snprintf(words, sizeof words, "%s", line);
    for (char *w = strtok_r(words, " ", &rest); w; w = strtok_r(NULL, " ", &rest)) argv[argc++] = w;
    fv_args_destroy(&args);
    return fv_opt_parse(command, argc, argv, &args, &action);
}

static const fv_settings *accepts(const char *line) {
    cr_assert_eq(parse(&train, line), FV_OK, "%s: %s", line, fv_error_message());
    return &args.settings;
}

static void refuses(const char *line, const char *message) {
    cr_assert_eq(parse(&train, line), FV_ERR_CONFIG, "%s", line);
    cr_assert_str_eq(fv_error_message(), message);
}

Test(cli_opt, flags_of_every_type) {
    const fv_settings *s = accepts("--batch-size 8 --lr=1e-3 --sched-on-updates --model vit one "
                                   "--mean .1 .2 .3 --opt-betas=0.8,0.9 --workers -1 two");
    cr_assert(s->batch_size == 8 && s->lr == 1e-3 && s->sched_on_updates && s->workers == -1);
    cr_assert_str_eq(s->model, "vit");
    cr_assert(s->mean.v[0] == 0.1 && s->mean.v[2] == 0.3 && s->opt_betas.v[1] == 0.9);
    cr_assert_eq(args.n_positional, 2);
    cr_assert_str_eq(args.positional[1], "two");
    cr_assert(s->given.lr && !s->given.seed);
}

Test(cli_opt, spellings) {
    cr_assert_eq(accepts("-b 8")->batch_size, 8);
    cr_assert_eq(accepts("-b8")->batch_size, 8);
    cr_assert_eq(accepts("-b=8")->batch_size, 8);
    cr_assert_eq(accepts("-vb 4")->validation_batch_size, 4);
    cr_assert_eq(accepts("-j -1")->workers, -1);
    cr_assert_eq(accepts("--batch_size 8")->batch_size, 8);
    cr_assert_eq(accepts("--seed 1 --seed 2")->seed, 2, "the last one counts");
    cr_assert_not(accepts("--sched-on-updates --no-sched-on-updates")->sched_on_updates);
    cr_assert_not(accepts("--sched-on-updates=false")->sched_on_updates);
    accepts("-- --not-an-option -x");
    cr_assert_str_eq(args.positional[0], "--not-an-option");
}

Test(cli_opt, maps) {
    static const char *const lines[] = {
        "--model-kwargs depth=3 dims=[1,2] --seed 1",
        "--set model_kwargs.depth=3 --set model-kwargs.dims=[1,2]",
        "--model-kwargs.depth=3 --model-kwargs=dims=[1,2]",
    };
    for (int i = 0; i < 3; i++) {
        fv_arena arena = {0};
        char *text;
        accepts(lines[i]);
        cr_assert_eq(fv_json_write(args.settings.model_kwargs, FV_JSON_COMPACT, &arena, &text),
                     FV_OK);
        cr_assert_str_eq(text, "{\"depth\":3,\"dims\":[1,2]}");
        fv_arena_destroy(&arena);
    }
}

Test(cli_opt, refusals) {
    refuses("--epohcs 3", "unknown option '--epohcs'; did you mean '--epochs'?");
    refuses("--epoch 3",
            "--epoch is not an option of train; it belongs to export; did you mean '--epochs'?");
    refuses("--hepl", "unknown option '--hepl'; did you mean '--help'?");
    refuses("--zzzzzz", "unknown option '--zzzzzz'");
    refuses("-q", "unknown option '-q'");
    refuses("--no-epochs", "unknown option '--no-epochs'; did you mean '--epochs'?");
    refuses("--epochs", "--epochs needs a value");
    refuses("--epochs --lr 1", "--epochs needs a value");
    refuses("--epochs x", "--epochs: expected an integer, got a string 'x'");
    refuses("--epochs 1.5", "--epochs: expected an integer, got a number '1.5'");
    refuses("-b 0", "-b: 0 is outside 1 to 65536");
    refuses("--mean 1 2", "--mean: expected 3 numbers, got 2");
    refuses("--mean", "--mean needs a value");
    refuses("--model-kwargs", "--model-kwargs needs KEY=VALUE");
    refuses("--model-kwargs depth", "--model-kwargs needs KEY=VALUE");
    refuses("--set depth", "--set: expected KEY=VALUE, got 'depth'");
    refuses("--set epohcs=1", "--set epohcs=1: unknown option 'epohcs'; did you mean 'epochs'?");
    refuses("--topk 3", "--topk is not an option of train; it belongs to predict");
    refuses("--set topk=3", "--set topk=3: 'topk' is not an option here; it belongs to predict");
    refuses("--precision fp32",
            "--precision: 'fp32' is not one of: auto f32 bf16; did you mean 'f32'?");
    refuses("--no-sched-on-updates=1", "--no-sched-on-updates takes no value");
    refuses("a b c", "train: unexpected argument 'c'; usage: fovea train -c FILE");
    cr_assert_eq(parse(&bench, ""), FV_ERR_CONFIG);
    cr_assert_str_eq(fv_error_message(), "bench: too few arguments; usage: fovea bench WHAT");
}

Test(cli_opt, help_needs_no_valid_rest) {
    cr_assert_eq(parse(&bench, "--help"), FV_OK);
    cr_assert_eq(action, FV_OPT_HELP);
    cr_assert_eq(parse(&bench, "-h --nonsense"), FV_OK);
    cr_assert_eq(action, FV_OPT_HELP);
    cr_assert_eq(parse(&bench, "--print-config --seed 3"), FV_OK);
    cr_assert_eq(action, FV_OPT_PRINT_CONFIG);
}

Test(cli_opt, flags_win_over_the_file_wherever_it_stands) {
    char path[] = "/tmp/fovea_opt_XXXXXX", line[128];

    close(mkstemp(path));
    cr_assert_eq(fv_file_write(path, "seed: 5\nepochs: 7\n", 18), FV_OK);
    snprintf(line, sizeof line, "--seed 9 -c %s", path);
    const fv_settings *s = accepts(line);
    cr_assert(s->seed == 9 && s->epochs == 7);
    cr_assert_str_eq(s->config, path);
    snprintf(line, sizeof line, "train -c %s", path);
    cr_assert_eq(parse(&bench, line), FV_OK, "bench reads a training file: %s", fv_error_message());
    cr_assert_eq(parse(&bench, "train --epochs 7"), FV_ERR_CONFIG, "but takes no such flag");
    unlink(path);
    snprintf(line, sizeof line, "-c %s", path);
    cr_assert_eq(parse(&train, line), FV_ERR_CONFIG);
}

Test(cli_opt, help_names_every_option_of_the_command) {
    char *text = NULL, flag[FV_OPTION_TEXT], kebab[FV_OPTION_TEXT];
    size_t n = 0;

    FILE *stream = open_memstream(&text, &n);
    cr_assert_eq(fv_help_command(&train, stream), FV_OK);
    fclose(stream);
    for (int i = 0; i < fv_n_options; i++) {
        const fv_option *o = &fv_option_table[i];
        snprintf(flag, sizeof flag, "%s%s", o->type == FV_OPTION_BOOL ? "--[no-]" : "--",
                 fv_option_kebab(o, kebab));
        if (o->commands & FV_CMD_TRAIN) cr_assert_not_null(strstr(text, flag), "%s", flag);
    }
    cr_assert_not_null(strstr(text, "  -b, --batch-size N              images per step"), "%s",
                       text);
    cr_assert_null(strstr(text, "--topk"));
    cr_assert_not_null(strstr(text, "fovea train -c a.yaml\n"));
    free(text);
}

Test(cli_opt, every_allocation_may_fail) {
    for (uint64_t n = 1;; n++) {
        fv_alloc_fail_at(n);
        const fv_status status =
            parse(&train, "--mean 1 1 1 -b 3 --model-kwargs a=1 b.c=2 --set lr=1 --out x");
        fv_alloc_fail_at(0);
        if (status == FV_OK) {
            cr_assert_gt(n, 10);
            return;
        }
        cr_assert_eq(status, FV_ERR_NOMEM, "%s", fv_error_message());
    }
}
