/* fovea train and fovea bench as a user runs them: kills, signals, exit codes, output. */
#include "core/file.h"
#include "core/rng.h"
#include "tests/support/run_cli.h"
#include "tests/support/run_files.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define PROGRAM FOVEA_BINARY_DIR "/fovea"

static void enter(void) {
    cli_enter();
    cr_assert_eq(
        cli_run("data synth --out %s --classes 3 --size 32 --train 48 --val 12", cli_path("data")),
        0, "%s", cli_err);
}

TestSuite(cli_train, .init = enter, .fini = cli_leave);

/* A run of two epochs of six updates. */
#define RUN                                                                                   \
    "train --data-dir %s --out %s --model mini_vit --model-kwargs patch_size=8 embed_dim=16 " \
    "num_heads=2 --epochs 2 --batch-size 8 --warmup-epochs 0 --lr 2e-3 --drop-path 0.2 "      \
    "--checkpoint-steps 2 --log-interval 1 --precision f32 --workers 1 --threads 2 "

static int train(const char *out, const char *more) {
    return cli_run(RUN "%s", cli_path("data"), cli_path(out), more);
}

Test(cli_train, killed_at_random_moments_it_ends_with_the_same_bytes, .timeout = 500) {
    cr_assert_eq(train("whole", ""), 0, "%s", cli_err);
    for (uint32_t round = 0; round < 2; round++) {
        const fv_rng_key key = {.purpose = FV_RNG_TEST, .step = round};
        for (uint64_t kill = 0; kill < 10; kill++) {
            const int ms = 100 + (int)fv_rng_below(&key, kill, 900);
            if (cli_run_program("timeout", "-s KILL 0.%03d " PROGRAM " " RUN "--resume auto", ms,
                                cli_path("data"), cli_path("run")) == 0)
                break;
        }
        cr_assert_eq(train("run", "--resume auto"), 0, "%s", cli_err);
        const char *difference = run_difference(cli_path("whole"), cli_path("run"), false);
        cr_assert_null(difference, "%s", difference);
        run_remove(cli_path("run"));
    }
}

Test(cli_train, a_signal_writes_a_checkpoint) {
    const int status =
        cli_run_program("timeout", "--preserve-status -s TERM 2 " PROGRAM " " RUN "--epochs 100000",
                        cli_path("data"), cli_path("run"));
    cr_assert_eq(status, 143, "%d %s", status, cli_err);
    cr_assert(strstr(cli_err, "interrupted"), "%s", cli_err);
    if (!strstr(cli_err, "before the first step"))
        cr_assert(fv_file_exists(cli_path("run/last/trainer.json")));
}

Test(cli_train, starts_from_weights_with_other_names) {
    char more[512];

    cr_assert_eq(train("first", "--max-steps 1"), 0, "%s", cli_err);
    cr_assert_eq(
        cli_run("convert %s --out %s --to transformers", cli_path("first"), cli_path("foreign")), 0,
        "%s", cli_err);
    snprintf(more, sizeof more, "--max-steps 2 --initial-checkpoint %s", cli_path("first"));
    cr_assert_eq(train("own", more), 0, "%s", cli_err);
    cr_assert_null(strstr(cli_err, "tensors read by"), "%s", cli_err);
    snprintf(more, sizeof more, "--max-steps 2 --initial-checkpoint %s", cli_path("foreign"));
    cr_assert_eq(train("other", more), 0, "%s", cli_err);
    cr_assert_not_null(strstr(cli_err, "tensors read by transformers' ViT names"), "%s", cli_err);
    cr_assert_eq(cli_run_program("cmp", "%s %s", cli_path("own/last/model.safetensors"),
                                 cli_path("other/last/model.safetensors")),
                 0, "%s", cli_out);
    cr_assert_eq(cli_run_program("cmp", "-s %s %s", cli_path("own/last/model.safetensors"),
                                 cli_path("first/last/model.safetensors")),
                 1, "training has moved");
}

Test(cli_train, a_resumed_run_keeps_its_subset_and_classes) {
    char more[512];
    char map[128], other[128];
    snprintf(map, sizeof map, "%s", cli_write("map.txt", "square\ndisc\n", 12));
    snprintf(other, sizeof other, "%s", cli_write("other.txt", "disc\nsquare\n", 12));

    snprintf(more, sizeof more, "--subset 12 --class-map %s --max-steps 2", map);
    cr_assert_eq(train("run", more), 0, "%s", cli_err);
    cr_assert_not_null(strstr(cli_err, "24 training, 8 validation images, 2 classes"), "%s",
                       cli_err);
    snprintf(more, sizeof more, "--resume auto --subset 13 --class-map %s --max-steps 3", map);
    cr_assert_eq(train("run", more), 2);
    cr_assert(cli_one_error("subset was \"12\" and is \"13\" now"), "%s", cli_err);
    snprintf(more, sizeof more, "--resume auto --subset 12 --class-map %s --max-steps 3", other);
    cr_assert_eq(train("run", more), 2);
    cr_assert(cli_one_error("cannot resume"), "%s", cli_err);
    snprintf(more, sizeof more, "--resume auto --subset 12 --class-map %s --max-steps 3", map);
    cr_assert_eq(train("run", more), 0, "%s", cli_err);

    cr_assert_eq(cli_run("eval %s --data-dir %s --class-map %s --json", cli_path("run"),
                         cli_path("data"), map),
                 0, "%s", cli_err);
    cr_assert_eq(fv_value_find(cli_json(), "count")->integer, 8);
    cr_assert_eq(cli_run("eval %s --data-dir %s", cli_path("run"), cli_path("data")), 1);
    cr_assert(cli_one_error("class 0 is 'square' in the checkpoint"), "%s", cli_err);
}

Test(cli_train, prints_one_json_value_and_few_lines_before_the_start) {
    cr_assert_eq(train("run", "--json"), 0, "%s", cli_err);
    const fv_value *v = cli_json();
    cr_assert_not_null(v, "%s", cli_out);
    static const char *const keys[] = {"epoch",     "train_loss",        "eval_top1",
                                       "eval_top5", "images_per_second", "out"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        cr_expect_not_null(fv_value_find(v, keys[i]), "%s", keys[i]);
    cr_assert_eq(fv_value_find(v, "epoch")->integer, 1);
    cr_assert_str_eq(fv_value_find(v, "out")->text, cli_path("run"));

    int lines = 0;
    const char *first = strstr(cli_err, "Train: 0 [");
    cr_assert_not_null(first, "%s", cli_err);
    for (const char *p = cli_err; p < first; p++) lines += *p == '\n';
    cr_assert_leq(lines, 12, "%s", cli_err);
    cr_assert(strstr(cli_err, " * Acc@1 "), "%s", cli_err);
}

Test(cli_train, averaged_weights_are_evaluated_on_request) {
    cr_assert_eq(train("run", "--model-ema --model-ema-decay 0.5 --json"), 0, "%s", cli_err);
    const fv_value *v = cli_json(), *ema = fv_value_find(v, "eval_ema_loss");
    cr_assert(ema && ema->kind == FV_VALUE_REAL, "%s", cli_out);
    const double expected = ema->real, raw = fv_value_find(v, "eval_loss")->real;
    cr_assert_neq(expected, raw);
    cr_assert(strstr(cli_err, "Test (EMA)"), "%s", cli_err);
    cr_assert_eq(cli_run("eval %s --data-dir %s --precision f32 --use-ema --json", cli_path("run"),
                         cli_path("data")),
                 0, "%s", cli_err);
    cr_assert_eq(fv_value_find(cli_json(), "loss")->real, expected);
    cr_assert_eq(cli_run("eval %s --data-dir %s --json", cli_path("run"), cli_path("data")), 0,
                 "%s", cli_err);
    cr_assert_eq(fv_value_find(cli_json(), "loss")->real, raw);

    cr_assert_eq(train("plain", "--max-steps 1"), 0, "%s", cli_err);
    cr_assert_eq(cli_run("eval %s --data-dir %s --use-ema", cli_path("plain"), cli_path("data")),
                 1);
    cr_assert(cli_one_error("no averaged weights"), "%s", cli_err);
}

Test(cli_train, a_run_goes_on_with_its_own_settings) {
    cr_assert_eq(train("run", "--max-steps 3"), 0, "%s", cli_err);
    cr_assert_eq(train("whole", "--max-steps 5"), 0, "%s", cli_err);
    cr_assert_eq(cli_run("train --resume auto --out %s --max-steps 5", cli_path("run")), 0, "%s",
                 cli_err);
    const char *difference = run_difference(cli_path("whole"), cli_path("run"), true);
    cr_assert_null(difference, "%s", difference);
    cr_assert_eq(cli_run("train --resume %s", cli_path("run")), 0, "%s", cli_err);
    cr_assert(strstr(cli_err, "nothing to do"), "%s", cli_err);
}

/* Before there was colour jitter, whose default is not off, runs did not name it. */
Test(cli_train, a_run_from_before_an_option_goes_on_without_it) {
    cr_assert_eq(train("whole", "--max-steps 5 --color-jitter 0"), 0, "%s", cli_err);
    cr_assert_eq(train("run", "--max-steps 3 --color-jitter 0"), 0, "%s", cli_err);
    cr_assert_eq(cli_run_program("sed", "-i /color_jitter:/d %s", cli_path("run/config.yaml")), 0);
    cr_assert_eq(
        cli_run_program("sed", "-i s/.color_jitter.:.0.0,// %s", cli_path("run/last/trainer.json")),
        0);
    cr_assert_eq(cli_run("train --resume auto --out %s --max-steps 5", cli_path("run")), 0, "%s",
                 cli_err);
    cr_assert_eq(cli_run_program("cmp", "%s %s", cli_path("whole/last/model.safetensors"),
                                 cli_path("run/last/model.safetensors")),
                 0, "%s", cli_out);
}

Test(cli_train, exit_codes) {
    cr_assert_eq(cli_run("train --data-dir %s --out %s", cli_path("data"), cli_path("x")), 2);
    cr_assert(cli_one_error("--model"), "%s", cli_err);
    cr_assert_eq(cli_run("train --model mini_vit --out %s", cli_path("x")), 2);
    cr_assert(cli_one_error("--data-dir"), "%s", cli_err);
    cr_assert_eq(cli_run("train --model mini_vit --data-dir /nowhere --out %s", cli_path("x")), 1);
    cr_assert_eq(cli_run("train --resume /nowhere"), 1);
    cr_assert_eq(cli_run("train --resume auto --model mini_vit --data-dir x"), 2);

    cr_assert_eq(train("run", "--max-steps 1"), 0, "%s", cli_err);
    cr_assert_eq(train("run", "--max-steps 1"), 1);
    cr_assert(cli_one_error("--resume auto"), "%s", cli_err);
    cr_assert_eq(train("run", "--resume auto --lr 1e-3"), 2);
    cr_assert(cli_one_error("lr was 0.002 and is 0.001"), "%s", cli_err);
}

Test(cli_train, two_runs_in_one_folder) {
    int claim;

    cr_assert_eq(train("run", "--max-steps 1"), 0, "%s", cli_err);
    cr_assert_eq(fv_folder_claim(cli_path("run"), &claim), FV_OK, "a run ends its claim");
    cr_assert_eq(train("run", "--resume auto"), 1);
    cr_assert(cli_one_error("in use by another process"), "%s", cli_err);
    fv_folder_release(claim);
    cr_assert_eq(train("run", "--resume auto --max-steps 2"), 0, "%s", cli_err);

    cr_assert_eq(fv_folder_create(cli_path("empty")), FV_OK);
    cr_assert_eq(fv_folder_claim(cli_path("empty"), &claim), FV_OK);
    cr_assert_eq(train("empty", "--max-steps 1"), 1);
    cr_assert(cli_one_error("in use by another process"), "%s", cli_err);
    fv_folder_release(claim);
}

Test(cli_train, bench) {
    cr_assert_eq(cli_run("bench train --model mini_vit --batch-size 4 --precision f32 --warmup 1 "
                         "--steps 2 --json"),
                 0, "%s", cli_err);
    const fv_value *v = cli_json();
    cr_assert_not_null(v, "%s", cli_out);
    static const char *const keys[] = {"images_per_second", "gemm_peak_gflops",
                                       "model_gflops_per_image", "mfu", "peak_rss_mb"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const fv_value *key = fv_value_find(v, keys[i]);
        cr_assert(key && key->real > 0.0, "%s", keys[i]);
    }
    cr_assert_str_eq(fv_value_find(v, "precision")->text, "f32");
    cr_assert_geq(fv_value_find(v, "threads")->integer, 1);

    cr_assert_eq(cli_run("bench train -c %s/configs/demo.yaml --model mini_vit --img-size 32 "
                         "--batch-size 4 --precision f32 --warmup 0 --steps 1 --threads 1 --json",
                         FOVEA_SOURCE_DIR),
                 0, "a training run's file: %s", cli_err);
    cr_assert_eq(cli_run("bench train --model mini_vit --batch-size 4 --warmup 0 --steps 1"), 0);
    cr_assert_not_null(strstr(cli_out, "\nmfu "), "%s", cli_out);
    cr_assert_eq(cli_run("bench trian --model mini_vit"), 2);
    cr_assert(cli_one_error("unknown bench 'trian'"), "%s", cli_err);
    cr_assert_eq(cli_run("bench train"), 2);
    cr_assert(cli_one_error("--model"), "%s", cli_err);
}

Test(cli_train, bench_infer_and_data) {
    static const char repeats[] = "model: mini_vit\naug_repeats: 3\naa: rand-m9\n";

    cr_assert_eq(
        cli_run(
            "bench infer --model mini_davit --batch-size 3 --precision f32 --warmup 0 --steps 2 "
            "--json"),
        0, "%s", cli_err);
    const fv_value *v = cli_json();
    const double rate = fv_value_find(v, "images_per_second")->real;
    cr_assert_float_eq(rate * fv_value_find(v, "step_seconds")->real, 3.0, 1e-9);
    cr_assert_float_eq(fv_value_find(v, "mfu")->real * fv_value_find(v, "gemm_peak_gflops")->real,
                       rate * fv_value_find(v, "model_gflops_per_image")->real, 1e-9);
    cr_assert_str_eq(fv_value_find(v, "precision")->text, "f32");

    /* more batches than an epoch has */
    cr_assert_eq(cli_run("bench data --model mini_vit --data-dir %s --batch-size 5 --warmup 1 "
                         "--steps 9 --workers 1 --json",
                         cli_path("data")),
                 0, "%s", cli_err);
    v = cli_json();
    cr_assert_gt(fv_value_find(v, "images_per_second")->real, 0.0);
    cr_assert_eq(fv_value_find(v, "images")->integer, 48);
    cr_assert_eq(fv_value_find(v, "pass_images")->integer, 5);
    cr_assert_eq(fv_value_find(v, "workers")->integer, 1);
    cr_assert_eq(cli_run("bench data -c %s --data-dir %s --batch-size 16 --warmup 0 --steps 5",
                         cli_write("repeats.yaml", repeats, sizeof repeats - 1), cli_path("data")),
                 0, "%s", cli_err);
    cr_assert_eq(cli_run("bench data --model mini_vit"), 2);
    cr_assert(cli_one_error("--data-dir"), "%s", cli_err);
    cr_assert_eq(cli_run("bench data --model mini_vit --data-dir %s", cli_path("none")), 1);
    cr_assert(cli_one_error("none"), "%s", cli_err);
}

Test(cli_train, bench_ops) {
    cr_assert_eq(cli_run("bench ops --model mini_vit --batch-size 4 --precision f32 --warmup 1 "
                         "--steps 2 --threads 1 --simulate-threads 6 --json"),
                 0, "%s", cli_err);
    const fv_value *v = cli_json();
    cr_assert_gt(fv_value_find(v, "gemm_peak_gflops")->real, 0.0);
    cr_assert_gt(fv_value_find(v, "memory_peak_gbytes")->real, 0.0);
    cr_assert_gt(fv_value_find(v, "step_seconds")->real, 0.0);
    double share = 0.0, last = INFINITY, gflop = 0.0;
    for (const fv_value *op = fv_value_find(v, "ops")->first; op; op = op->next) {
        const double seconds = fv_value_find(op, "seconds")->real;
        const double efficiency = fv_value_find(op, "efficiency")->real;
        cr_assert(seconds <= last && efficiency > 0.0 && efficiency <= 1.0 + 1e-9);
        last = seconds;
        share += fv_value_find(op, "share")->real;
        gflop += fv_value_find(op, "gflops")->real * seconds;
    }
    cr_assert_float_eq(share, 1.0, 1e-9);
    /* three times a forward pass of 0.0153 GFLOP for each of four images */
    cr_assert_float_eq(gflop, 4.0 * 3.0 * 2.0 * 0.007668608, 1e-6, "%g", gflop);
    const fv_value *last_count = fv_value_find(v, "simulated")->last;
    cr_assert_eq(fv_value_find(v, "simulated")->count, 4, "1, 2, 4 and 6 threads");
    cr_assert_eq(fv_value_find(last_count, "threads")->integer, 6);
    const double speedup = fv_value_find(last_count, "speedup")->real;
    cr_assert(speedup >= 1.0 && speedup <= 6.0, "%g", speedup);
}

/* The number of lines of the last stdout, and the first two without their ends. */
static int lines(char first[1024], char second[1024]) {
    int n = 0;

    for (const char *c = cli_out; *c; c++) n += *c == '\n';
    cr_assert_eq(sscanf(cli_out, "%1023[^\n]\n%1023[^\n]", first, second), 2, "%s", cli_out);
    return n;
}

Test(cli_train, bench_csv) {
    char names[1024], values[1024];
    double rate, ms;

    cr_assert_eq(cli_run("bench train --model mini_vit --batch-size 4 --grad-accum-steps 2 "
                         "--precision f32 --warmup 0 --steps 1 --threads 1 --csv"),
                 0, "%s", cli_err);
    cr_assert_eq(lines(names, values), 2);
    cr_assert_str_eq(
        names,
        "model,train_samples_per_sec,train_step_time,train_batch_size,"
        "train_img_size,train_gmacs,train_macts,param_count,gemm_peak_gflops,"
        "model_gflops_per_image,mfu,peak_rss_mb,threads,precision,blocks,recomputed_blocks,loss");
    cr_assert_eq(sscanf(values, "mini_vit,%lf,%lf,8,32,0.01,0.08,0.11,", &rate, &ms), 2, "%s",
                 values);
    cr_assert_float_eq(rate * ms, 8e3, 8.0, "milliseconds: %s", values);
    cr_assert_not_null(strstr(values, ",1,f32,"), "%s", values);

    cr_assert_eq(cli_run("bench infer --model mini_vit --batch-size 3 --warmup 0 --steps 1 --csv"),
                 0);
    cr_assert_eq(lines(names, values), 2);
    cr_assert_eq(strncmp(names, "model,infer_samples_per_sec,infer_step_time,", 44), 0, "%s",
                 names);

    cr_assert_eq(cli_run("bench data --model mini_vit --data-dir %s --batch-size 5 --warmup 0 "
                         "--steps 1 --workers 1 --csv",
                         cli_path("data")),
                 0, "%s", cli_err);
    cr_assert_eq(lines(names, values), 2);
    cr_assert_str_eq(names,
                     "images_per_second,step_seconds,images,pass_images,workers,peak_rss_mb");

    cr_assert_eq(cli_run("bench ops --model mini_vit --batch-size 2 --warmup 1 --steps 1 --csv"), 0,
                 "%s", cli_err);
    cr_assert_gt(lines(names, values), 10);
    cr_assert_str_eq(names,
                     "op,pass,calls,seconds,share,flops,bytes,gflops,gbytes,roof,efficiency");

    cr_assert_eq(cli_run("bench ops --model mini_vit --csv --json"), 2);
    cr_assert(cli_one_error("--json and --csv"), "%s", cli_err);
}

Test(cli_train, bench_profile) {
    cr_assert_eq(cli_run("bench train --model mini_vit --batch-size 4 --precision f32 --warmup 0 "
                         "--steps 2 --profile --json"),
                 0, "%s", cli_err);
    const fv_value *v = cli_json();
    cr_assert_gt(fv_value_find(v, "images_per_second")->real, 0.0);
    cr_assert_gt(fv_value_find(v, "memory_peak_gbytes")->real, 0.0);
    double share = 0.0, flops = 0.0;
    for (const fv_value *op = fv_value_find(v, "ops")->first; op; op = op->next) {
        const double seconds = fv_value_find(op, "seconds")->real;
        share += fv_value_find(op, "share")->real;
        flops += fv_value_find(op, "flops")->real;
        cr_assert_float_eq(fv_value_find(op, "gbytes")->real * seconds,
                           1e-9 * fv_value_find(op, "bytes")->real, 1e-9);
    }
    cr_assert_float_eq(share, 1.0, 1e-9);
    cr_assert_float_eq(1e-9 * flops, 4.0 * fv_value_find(v, "model_gflops_per_image")->real, 1e-6);

    cr_assert_eq(cli_run("bench train --model mini_vit --batch-size 4 --warmup 0 --steps 1 "
                         "--profile"),
                 0);
    cr_assert_not_null(strstr(cli_out, "\nop "), "a table: %s", cli_out);
    cr_assert_eq(cli_run("bench infer --model mini_vit --profile"), 2);
    cr_assert(cli_one_error("bench train"), "%s", cli_err);
    cr_assert_eq(cli_run("bench train --model mini_vit --profile --csv"), 2);
    cr_assert(cli_one_error("bench ops --csv"), "%s", cli_err);
}

Test(cli_train, bench_explain) {
    cr_assert_eq(cli_run("bench explain --model mini_davit --method lrp,normgrad:meta_lr=1e-3 "
                         "--batch-size 2 --warmup 0 --steps 2 --json"),
                 0, "%s", cli_err);
    const fv_value *v = cli_json();
    cr_assert_not_null(v, "%s", cli_out);
    cr_assert_gt(fv_value_find(v, "forward_seconds")->real, 0.0);
    cr_assert_eq(fv_value_find(v, "batch_size")->integer, 2);
    const fv_value *methods = fv_value_find(v, "methods");
    cr_assert_eq(methods->count, 2);
    cr_assert_str_eq(fv_value_find(methods->last, "method")->text, "normgrad:meta_lr=1e-3");
    for (const fv_value *m = methods->first; m; m = m->next) {
        const double median = fv_value_find(m, "seconds")->real;
        cr_assert_gt(fv_value_find(m, "forwards")->real, 0.0);
        cr_assert_leq(fv_value_find(m, "fastest")->real, median);
        cr_assert_geq(fv_value_find(m, "slowest")->real, median);
    }

    cr_assert_eq(cli_run("bench explain --model mini_vit --method centre --warmup 0 --steps 1"), 0);
    cr_assert_not_null(strstr(cli_out, "\ncentre "), "a table: %s", cli_out);
    cr_assert_eq(cli_run("bench explain --model mini_vit --method lrq"), 2);
    cr_assert(cli_one_error("lrp"), "%s", cli_err);
    cr_assert_eq(cli_run("bench explain --model mini_vit --method centre --layer norm"), 2);
    cr_assert(cli_one_error("none of the methods"), "%s", cli_err);
}
