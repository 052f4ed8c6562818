#include "core/option.h"

#include "core/alloc.h"
#include "core/file.h"
#include "core/json.h"
#include "core/settings.h"
#include "core/yaml.h"

#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static fv_arena arena;
static fv_settings settings;

static void enter(void) { fv_settings_init(&settings); }

static void leave(void) {
    fv_alloc_fail_at(0);
    fv_settings_destroy(&settings);
    fv_arena_destroy(&arena);
}

TestSuite(core_option, .init = enter, .fini = leave);

static fv_status merge(const char *yaml, uint32_t commands) {
    fv_value *map;

    fv_status status = fv_yaml_parse(yaml, strlen(yaml), "c.yaml", &arena, &map);
    return status == FV_OK ? fv_settings_merge(&settings, map, commands) : status;
}

static void refuses(const char *yaml, const char *message) {
    cr_assert_eq(merge(yaml, FV_CMD_TRAIN), FV_ERR_CONFIG, "%s", yaml);
    cr_assert_str_eq(fv_error_message(), message);
}

static void refuses_flag(const char *key, const char *text, const char *message) {
    cr_assert_eq(fv_settings_set(&settings, key, text, "--x", FV_CMD_TRAIN), FV_ERR_CONFIG);
    cr_assert_str_eq(fv_error_message(), message);
}

static void set(const char *key, const char *text) {
    cr_assert_eq(fv_settings_set(&settings, key, text, "--x", FV_CMD_TRAIN), FV_OK, "%s: %s", key,
                 fv_error_message());
}

Test(core_option, table_is_sound) {
    for (int i = 0; i < fv_n_options; i++) {
        const fv_option *o = &fv_option_table[i];
        const fv_reals *reals = (const fv_reals *)((const char *)&settings + o->offset);
        cr_assert_eq(fv_option_find(o->name), o, "%s is listed twice", o->name);
        cr_assert_str_eq(fv_option_near(o->name, o->commands), o->name);
        cr_assert_not_null(o->help);
        cr_assert_neq(o->commands & FV_CMD_EVERY, 0, "%s belongs to no command", o->name);
        cr_assert(o->int_default >= o->int_min || o->type != FV_OPTION_INT, "%s", o->name);
        cr_assert(o->int_default <= o->int_max || o->type != FV_OPTION_INT, "%s", o->name);
        cr_assert(o->real_default >= o->real_min || o->type != FV_OPTION_REAL, "%s", o->name);
        cr_assert(o->real_default <= o->real_max || o->type != FV_OPTION_REAL, "%s", o->name);
        cr_assert_leq(o->count, FV_REALS_MAX);
        if (o->type == FV_OPTION_REALS)
            cr_assert_eq(reals->count, *o->text_default ? o->count : 0, "%s", o->name);
    }
    cr_assert_null(fv_option_near("zzzzzzzzz", FV_CMD_EVERY));
    cr_assert_str_eq(fv_option_near("epoch", FV_CMD_TRAIN), "epochs"); /* not another's */
}

Test(core_option, defaults_are_timms) {
    cr_assert_eq(settings.batch_size, 128);
    cr_assert_eq(settings.epochs, 300);
    cr_assert_eq(settings.warmup_lr, 1e-5);
    cr_assert_eq(settings.weight_decay, 0.05);
    cr_assert_str_eq(settings.sched, "cosine");
    cr_assert_eq(settings.scale.count, 2);
    cr_assert_eq(settings.scale.v[0], 0.08);
    cr_assert_eq(settings.mean.count, 0);
    cr_assert_not(settings.given.batch_size);
}

Test(core_option, names_and_aliases) {
    char text[256];

    cr_assert_eq(fv_option_find("batch-size"), fv_option_find("batch_size"));
    cr_assert_null(fv_option_find("batch"));
    cr_assert_null(fv_option_find("batch_size_"));
    cr_assert_eq(fv_option_alias("vb"), fv_option_find("validation_batch_size"));
    cr_assert_null(fv_option_alias("z"));
    cr_assert_str_eq(fv_option_short(fv_option_find("workers")), "j");
    cr_assert_null(fv_option_short(fv_option_find("lr")));
    cr_assert_str_eq(fv_option_kebab(fv_option_find("batch_size"), text), "batch-size");
    cr_assert_str_eq(fv_command_names(FV_CMD_EVAL | FV_CMD_TRAIN, text), "train, eval");
}

Test(core_option, files_set_every_type) {
    cr_assert_eq(merge("epochs: 7\nlr: 1e-3\nwarmup_prefix: true\nmodel: vit\nmean: [0, .5, 1]\n"
                       "model_kwargs: {depth: 3, dims: [1, 2]}\nclip_grad: 1\nresume: null\n",
                       FV_CMD_TRAIN),
                 FV_OK, "%s", fv_error_message());
    cr_assert_eq(settings.epochs, 7);
    cr_assert_eq(settings.lr, 1e-3);
    cr_assert_eq(settings.clip_grad, 1.0);
    cr_assert(settings.warmup_prefix);
    cr_assert_str_eq(settings.model, "vit");
    cr_assert_eq(settings.mean.v[1], 0.5);
    cr_assert_eq(fv_value_find(settings.model_kwargs, "depth")->integer, 3);
    cr_assert(settings.given.lr && settings.given.model_kwargs);
    cr_assert_not(settings.given.resume, "null leaves the default");
    cr_assert_eq(merge("", FV_CMD_TRAIN), FV_OK, "an empty file");
}

Test(core_option, files_are_refused_with_a_position) {
    refuses("lr: 1\nepohcs: 3\n", "c.yaml:2:1: unknown option 'epohcs'; did you mean 'epochs'?");
    refuses(
        "epoch: 3\n",
        "c.yaml:1:1: 'epoch' is not an option here; it belongs to export; did you mean 'epochs'?");
    refuses("zzzzzzzzz: 3\n", "c.yaml:1:1: unknown option 'zzzzzzzzz'");
    refuses("epochs: many\n", "c.yaml:1:9: epochs: expected an integer, got a string 'many'");
    refuses("epochs: 1.5\n", "c.yaml:1:9: epochs: expected an integer, got a number '1.5'");
    refuses("epochs: -1\n", "c.yaml:1:9: epochs: -1 is outside 0 to 1000000");
    refuses("max_steps: -1\n", "c.yaml:1:12: max_steps: -1 is less than 0");
    refuses("smoothing: 2\n", "c.yaml:1:12: smoothing: 2 is outside 0 to 1");
    refuses("smoothing: .nan\n", "c.yaml:1:12: smoothing: nan is outside 0 to 1");
    refuses("lr: .inf\n", "c.yaml:1:5: lr: inf is outside 0 to 1e+30");
    refuses("sched_on_updates: yes\n",
            "c.yaml:1:19: sched_on_updates: expected true or false, got a string 'yes'");
    refuses("model: 5\n",
            "c.yaml:1:8: model: expected a string (write it in quotes), got an integer '5'");
    refuses("sched: cosin\n",
            "c.yaml:1:8: sched: 'cosin' is not one of: cosine; did you mean 'cosine'?");
    refuses("mean: [1, 2]\n", "c.yaml:1:7: mean: expected 3 numbers, got 2");
    refuses("mean: 1\n", "c.yaml:1:7: mean: expected a list of numbers, got an integer '1'");
    refuses("std: [1, 1,\n  x]\n", "c.yaml:2:3: std: expected a number, got a string 'x'");
    refuses("model_kwargs: 3\n", "c.yaml:1:15: model_kwargs: expected a map, got an integer '3'");
    refuses("topk: 3\n", "c.yaml:1:1: 'topk' is not an option here; it belongs to predict");
    refuses("config: x\n", "c.yaml:1:1: 'config' can only be given as a flag");
    refuses("- epochs\n", "c.yaml:1:1: expected options as 'name: value', got a list");
}

Test(core_option, text_sets_every_type) {
    set("epochs", "7");
    set("batch-size", "0x10");
    set("lr", "1e-3");
    set("sched_on_updates", "true");
    set("model", "5: [x");
    set("opt_betas", "0.8,0.99");
    set("mean", "[1, 2, 3]");
    cr_assert(settings.epochs == 7 && settings.batch_size == 16 && settings.lr == 1e-3);
    cr_assert(settings.sched_on_updates);
    cr_assert_str_eq(settings.model, "5: [x", "strings are verbatim");
    cr_assert(settings.opt_betas.v[0] == 0.8 && settings.opt_betas.v[1] == 0.99);
    cr_assert_eq(settings.mean.v[2], 3.0);
}

Test(core_option, dotted_keys_merge_into_maps) {
    fv_arena scratch = {0};
    char *text;

    cr_assert_eq(merge("attention: {kind: mhsa, moh: {topk: 2, shared: 1}}\n", FV_CMD_TRAIN),
                 FV_OK);
    set("attention.kind", "moh");
    set("attention.moh.topk", "4");
    set("attention.layer.3.kind", "window");
    set("attention", "{heads: 6}");
    cr_assert_eq(fv_json_write(settings.attention, FV_JSON_COMPACT, &scratch, &text), FV_OK);
    cr_assert_str_eq(text, "{\"kind\":\"moh\",\"moh\":{\"topk\":4,\"shared\":1},"
                           "\"layer\":{\"3\":{\"kind\":\"window\"}},\"heads\":6}");
    cr_assert_str_eq(fv_value_find(settings.attention, "kind")->file, "--x");
    fv_arena_destroy(&scratch);
}

Test(core_option, text_is_refused_with_the_flag) {
    refuses_flag("epohcs", "1", "--x: unknown option 'epohcs'; did you mean 'epochs'?");
    refuses_flag("epochs", "x", "--x: expected an integer, got a string 'x'");
    refuses_flag("epochs", "", "--x: expected an integer, got null");
    refuses_flag("epochs", "-3", "--x: -3 is outside 0 to 1000000");
    refuses_flag("mean", "1,2", "--x: expected 3 numbers, got 2");
    refuses_flag("mean", "1,2,x", "--x: expected a number, got a string 'x'");
    refuses_flag("epochs.a", "1", "--x: 'epochs' has no parts");
    refuses_flag("attention", "3", "--x: expected a map, got an integer '3'");
    refuses_flag("attention..a", "3", "'.a' has an empty part");
    refuses_flag("topk", "3", "--x: 'topk' is not an option here; it belongs to predict");
    cr_assert_eq(fv_settings_set(&settings, "epochs", "[1", "--x", FV_CMD_TRAIN), FV_ERR_CONFIG);
}

/* The resolved configuration is what a run keeps: reading it must give the run again. */
Test(core_option, resolved_settings_round_trip) {
    char *first, *second;

    set("model", "yes");
    set("out", "a \"b\"\n");
    set("lr", "0.1");
    set("opt-betas", "0.9,0.98");
    set("model_kwargs.depth", "3");
    set("attention.moh.topk", "1e-3");
    set("sched_on_updates", "true");
    cr_assert_eq(fv_settings_write(&settings, FV_CMD_TRAIN, &arena, &first), FV_OK);
    fv_settings_destroy(&settings);
    enter();
    cr_assert_eq(merge(first, FV_CMD_TRAIN), FV_OK, "%s", fv_error_message());
    cr_assert_eq(fv_settings_write(&settings, FV_CMD_TRAIN, &arena, &second), FV_OK);
    cr_assert_str_eq(first, second);
    cr_assert_str_eq(settings.model, "yes");
    cr_assert_str_eq(settings.out, "a \"b\"\n");
    cr_assert_eq(settings.opt_betas.v[1], 0.98);
    cr_assert_eq(settings.mean.count, 0);
    cr_assert_eq(fv_value_find(settings.model_kwargs, "depth")->integer, 3);
    cr_assert_null(strstr(first, "resume"), "%s", first);
    cr_assert_null(strstr(first, "topk: 5"), "another command's option");
}

Test(core_option, loads_files) {
    char path[] = "/tmp/fovea_option_XXXXXX";

    close(mkstemp(path));
    cr_assert_eq(fv_file_write(path, "epochs: 3\n", 10), FV_OK);
    cr_assert_eq(fv_settings_load(&settings, path, FV_CMD_TRAIN), FV_OK);
    cr_assert_eq(settings.epochs, 3);
    unlink(path);
    cr_assert_eq(fv_settings_load(&settings, path, FV_CMD_TRAIN), FV_ERR_CONFIG);
}

Test(core_option, every_allocation_may_fail) {
    static const char text[] = "model: vit\nmodel_kwargs: {a: 1, b: {c: 2}}\nmean: [1, 1, 1]\n";

    for (uint64_t n = 1;; n++) {
        char *yaml = NULL;
        leave();
        enter();
        settings.arena.chunk_bytes = arena.chunk_bytes = 64;
        fv_alloc_fail_at(n);
        fv_status status = merge(text, FV_CMD_TRAIN);
        if (status == FV_OK)
            status = fv_settings_set(&settings, "model_kwargs.b.d", "3", "--x", FV_CMD_TRAIN);
        if (status == FV_OK) status = fv_settings_write(&settings, FV_CMD_TRAIN, &arena, &yaml);
        fv_alloc_fail_at(0);
        if (status == FV_OK) {
            cr_assert_gt(n, 100);
            return;
        }
        cr_assert_eq(status, FV_ERR_NOMEM, "%s", fv_error_message());
    }
}
