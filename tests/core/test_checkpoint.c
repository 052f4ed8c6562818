#include "core/checkpoint.h"

#include "core/alloc.h"
#include "core/file.h"

#include <criterion/criterion.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char root[64], run[96];
static fv_arena arena;

static void enter(void) {
    strcpy(root, "/tmp/fovea_ckpt_XXXXXX");
    cr_assert_not_null(mkdtemp(root));
    snprintf(run, sizeof run, "%s/out/run", root);
}

static void leave(void) {
    fv_alloc_fail_at(0);
    fv_arena_destroy(&arena);
    fv_folder_remove(root);
}

TestSuite(core_checkpoint, .init = enter, .fini = leave);

static const char *in(const char *folder, const char *name) {
    const char *path = fv_arena_printf(&arena, "%s/%s", folder, name);
    cr_assert_not_null(path);
    return path;
}

static void put(const char *folder, const char *name, const char *text) {
    cr_assert_eq(fv_file_write(in(folder, name), text, strlen(text)), FV_OK, "%s",
                 fv_error_message());
}

/* The text of a file, "" when there is none. */
static const char *get(const char *path) {
    uint8_t *bytes;
    size_t n;
    if (fv_file_read(path, 1000, &bytes, &n) != FV_OK) return "";
    const char *text = fv_arena_strdup(&arena, (const char *)bytes);
    fv_free(bytes);
    return text;
}

static void save(int64_t epoch, int64_t step, const char *text) {
    fv_checkpoint_writer w;
    cr_assert_eq(fv_checkpoint_begin(run, epoch, step, &arena, &w), FV_OK, "%s",
                 fv_error_message());
    put(w.folder, FV_CHECKPOINT_WEIGHTS, text);
    put(w.folder, FV_CHECKPOINT_TRAINER, "{}");
    cr_assert_eq(fv_checkpoint_commit(&w), FV_OK, "%s", fv_error_message());
    cr_assert(fv_folder_exists(w.path) && !fv_folder_exists(w.folder));
}

/* A folder as a kill may have left it. */
static void leftover(const char *name, const char *text) {
    cr_assert_eq(fv_folder_create(in(run, name)), FV_OK);
    put(in(run, name), FV_CHECKPOINT_WEIGHTS, text);
}

static const char *listing(void) {
    fv_checkpoint_list list;
    const char *text = "";
    cr_assert_eq(fv_checkpoint_list_run(run, &arena, &list), FV_OK, "%s", fv_error_message());
    for (int64_t i = 0; i < list.count; i++)
        text = fv_arena_printf(&arena, "%s%s%s", text, i ? " " : "",
                               list.item[i].name + strlen("checkpoint-"));
    return text;
}

/* The text of the weights that a path leads to. */
static const char *resolved(const char *path) {
    fv_checkpoint_files files;
    cr_assert_eq(fv_checkpoint_resolve(path, &arena, &files), FV_OK, "%s", fv_error_message());
    return get(files.weights);
}

static int64_t names_in_run(void) {
    fv_names names;
    cr_assert_eq(fv_folder_list(run, &names), FV_OK);
    const int64_t n = names.count;
    fv_names_free(&names);
    return n;
}

Test(core_checkpoint, begin_write_commit_link) {
    char target[64] = "";

    save(0, FV_CHECKPOINT_NO_STEP, "zero");
    save(1, 500, "one");
    cr_assert_eq(fv_checkpoint_link(run, "last", "checkpoint-0"), FV_OK, "%s", fv_error_message());
    cr_assert_eq(fv_checkpoint_link(run, "last", "checkpoint-1-500"), FV_OK);
    cr_assert_eq(fv_checkpoint_link(run, "best", "checkpoint-0"), FV_OK);
    cr_assert_gt(readlink(in(run, "last"), target, 63), 0);
    cr_assert_str_eq(target, "checkpoint-1-500", "relative");
    cr_assert_str_eq(get(in(run, "best/model.safetensors")), "zero");
    cr_assert_eq(names_in_run(), 4);
    cr_assert_eq(fv_checkpoint_link(run, "last", "checkpoint-9"), FV_ERR_NOT_FOUND);
    cr_assert_str_eq(resolved(run), "one", "the refused link changed nothing");
}

Test(core_checkpoint, order_of_a_run) {
    static const int64_t at[][2] = {{10, -1}, {2, -1}, {2, 1000}, {2, 90}, {0, 0}, {1, -1}};

    for (size_t i = 0; i < 6; i++) save(at[i][0], at[i][1], "x");
    static const char *const others[] = {
        "checkpoint-",      "checkpoint-x",
        "checkpoint-1-",    "checkpoint-01",
        "checkpoint-3.tmp", "checkpoint-3.old",
        "checkpoint-3-x",   "checkpoint-99999999999999999999",
        "checkpoint--1",    "notes",
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        cr_assert_eq(fv_folder_create(in(run, others[i])), FV_OK);
    put(run, "checkpoint-7", "a file");
    cr_assert_str_eq(listing(), "0-0 1 2-90 2-1000 2 10");
}

Test(core_checkpoint, same_name_again_replaces) {
    save(3, FV_CHECKPOINT_NO_STEP, "old");
    cr_assert_eq(fv_checkpoint_link(run, "last", "checkpoint-3"), FV_OK);
    save(3, FV_CHECKPOINT_NO_STEP, "new");
    cr_assert_str_eq(resolved(run), "new");
    cr_assert_eq(names_in_run(), 2, "nothing left over");
}

Test(core_checkpoint, abandoned) {
    fv_checkpoint_writer w;

    save(3, FV_CHECKPOINT_NO_STEP, "old");
    cr_assert_eq(fv_checkpoint_begin(run, 3, FV_CHECKPOINT_NO_STEP, &arena, &w), FV_OK);
    put(w.folder, FV_CHECKPOINT_WEIGHTS, "half");
    fv_checkpoint_abandon(&w);
    cr_assert_eq(names_in_run(), 1);
    cr_assert_str_eq(resolved(w.path), "old");
}

/* Each state below is what a kill between two system calls leaves. */
Test(core_checkpoint, killed_while_writing) {
    save(1, FV_CHECKPOINT_NO_STEP, "one");
    cr_assert_eq(fv_checkpoint_link(run, "last", "checkpoint-1"), FV_OK);
    leftover("checkpoint-2.tmp", "torn");
    leftover("checkpoint-1.tmp", "torn replacement");
    cr_assert_str_eq(resolved(run), "one");
    cr_assert_str_eq(listing(), "1");
    save(2, FV_CHECKPOINT_NO_STEP, "two");
    cr_assert_str_eq(listing(), "1 2");
    cr_assert_eq(names_in_run(), 3, "leftovers are gone");
    cr_assert_str_eq(get(in(run, "checkpoint-2/model.safetensors")), "two");
}

Test(core_checkpoint, killed_before_the_link) {
    save(1, FV_CHECKPOINT_NO_STEP, "one");
    cr_assert_str_eq(resolved(run), "one", "no link yet: the newest");
    cr_assert_eq(fv_checkpoint_link(run, "last", "checkpoint-1"), FV_OK);
    save(2, FV_CHECKPOINT_NO_STEP, "two");
    cr_assert_str_eq(resolved(run), "one", "the old state");
}

Test(core_checkpoint, killed_between_link_and_rename) {
    save(1, FV_CHECKPOINT_NO_STEP, "one");
    cr_assert_eq(fv_checkpoint_link(run, "last", "checkpoint-1"), FV_OK);
    cr_assert_eq(symlink("checkpoint-2", in(run, "last.tmp")), 0);
    cr_assert_eq(symlink("checkpoint-1", in(run, "best.tmp")), 0);
    cr_assert_str_eq(resolved(run), "one");
    cr_assert_eq(fv_checkpoint_link(run, "last", "checkpoint-1"), FV_OK, "%s", fv_error_message());
    save(2, FV_CHECKPOINT_NO_STEP, "two");
    cr_assert_eq(names_in_run(), 3);
    cr_assert_str_eq(get(in(run, "checkpoint-1/model.safetensors")), "one", "links not followed");
}

/* Where names cannot be swapped, the old checkpoint stands aside for a moment. */
Test(core_checkpoint, killed_while_the_old_one_stands_aside) {
    save(1, FV_CHECKPOINT_NO_STEP, "old");
    cr_assert_eq(fv_checkpoint_link(run, "last", "checkpoint-1"), FV_OK);
    leftover("checkpoint-1.tmp", "new");
    cr_assert_eq(rename(in(run, "checkpoint-1"), in(run, "checkpoint-1.old")), 0);
    cr_assert_str_eq(resolved(run), "old");
    save(2, FV_CHECKPOINT_NO_STEP, "two");
    cr_assert_str_eq(get(in(run, "checkpoint-1/model.safetensors")), "old", "put back");
    cr_assert_eq(names_in_run(), 3);
}

Test(core_checkpoint, killed_before_the_old_one_is_removed) {
    save(1, FV_CHECKPOINT_NO_STEP, "new");
    leftover("checkpoint-1.old", "old");
    cr_assert_str_eq(resolved(run), "new");
    save(2, FV_CHECKPOINT_NO_STEP, "two");
    cr_assert_str_eq(get(in(run, "checkpoint-1/model.safetensors")), "new");
    cr_assert_eq(names_in_run(), 2);
}

Test(core_checkpoint, other_names_are_left_alone) {
    leftover("checkpoint-notes.tmp", "mine");
    put(run, "lasting.tmp", "mine");
    put(run, "summary.csv.tmp", "mine");
    save(1, FV_CHECKPOINT_NO_STEP, "one");
    cr_assert_eq(names_in_run(), 4);
}

Test(core_checkpoint, a_dangling_last_leads_to_the_newest) {
    save(1, FV_CHECKPOINT_NO_STEP, "one");
    save(2, FV_CHECKPOINT_NO_STEP, "two");
    cr_assert_eq(symlink("checkpoint-5", in(run, "last")), 0);
    cr_assert_str_eq(resolved(run), "two");
}

/* A process that saves epoch after epoch is killed at some moment, again and again. */
Test(core_checkpoint, killed_anywhere) {
    save(0, FV_CHECKPOINT_NO_STEP, "0");
    cr_assert_eq(fv_checkpoint_link(run, "last", "checkpoint-0"), FV_OK);
    for (int round = 0; round < 25; round++) {
        const pid_t child = fork();
        cr_assert_geq(child, 0);
        if (child == 0) {
            for (int64_t i = 0;; i++) {
                const int64_t epoch = i % 5;
                fv_checkpoint_writer w;
                char text[2] = {(char)('0' + epoch), 0};
                if (fv_checkpoint_begin(run, epoch, -1, &arena, &w) != FV_OK ||
                    fv_file_write(in(w.folder, FV_CHECKPOINT_WEIGHTS), text, 1) != FV_OK ||
                    fv_checkpoint_commit(&w) != FV_OK ||
                    fv_checkpoint_link(run, "last", w.name) != FV_OK ||
                    fv_checkpoint_prune(run, 2) != FV_OK)
                    _exit(1);
            }
        }
        usleep(500 + 613 * round);
        kill(child, SIGKILL);
        int how;
        cr_assert_eq(waitpid(child, &how, 0), child);
        cr_assert(WIFSIGNALED(how), "the child failed by itself");
        fv_checkpoint_list list;
        cr_assert_eq(fv_checkpoint_list_run(run, &arena, &list), FV_OK);
        cr_assert_gt(list.count, 0);
        for (int64_t i = 0; i < list.count; i++) {
            const char text[2] = {(char)('0' + list.item[i].epoch), 0};
            cr_assert_str_eq(resolved(in(run, list.item[i].name)), text);
        }
        cr_assert_eq(strlen(resolved(run)), 1);
        cr_assert_eq(strlen(resolved(in(run, "last"))), 1);
    }
}

Test(core_checkpoint, prune_keeps_the_newest_and_the_linked) {
    for (int64_t e = 0; e < 6; e++) save(e, FV_CHECKPOINT_NO_STEP, "x");
    cr_assert_eq(fv_checkpoint_link(run, "best", "checkpoint-1"), FV_OK);
    cr_assert_eq(fv_checkpoint_link(run, "last", "checkpoint-5"), FV_OK);
    cr_assert_eq(fv_checkpoint_prune(run, 10), FV_OK);
    cr_assert_str_eq(listing(), "0 1 2 3 4 5");
    cr_assert_eq(fv_checkpoint_prune(run, 2), FV_OK, "%s", fv_error_message());
    cr_assert_str_eq(listing(), "1 4 5");
    cr_assert_eq(fv_checkpoint_prune(run, 0), FV_OK);
    cr_assert_str_eq(listing(), "1 5");
    cr_assert_eq(names_in_run(), 4);
}

Test(core_checkpoint, resolves_every_kind_of_argument) {
    fv_checkpoint_files f;
    const char *hub = in(root, "hub"), *bare = in(root, "weights.safetensors");

    save(1, FV_CHECKPOINT_NO_STEP, "one");
    cr_assert_eq(fv_checkpoint_link(run, "last", "checkpoint-1"), FV_OK);
    cr_assert_eq(fv_checkpoint_resolve(run, &arena, &f), FV_OK);
    cr_assert_str_eq(f.folder, in(run, "checkpoint-1"));
    cr_assert_str_eq(f.trainer, in(run, "checkpoint-1/trainer.json"));
    cr_assert(!f.config && !f.ema && !f.optimizer);

    cr_assert_eq(fv_folder_create(hub), FV_OK);
    put(hub, "model.safetensors", "hub");
    put(hub, "config.json", "{}");
    cr_assert_eq(fv_checkpoint_resolve(hub, &arena, &f), FV_OK);
    cr_assert_str_eq(f.weights, in(hub, "model.safetensors"));
    cr_assert_str_eq(f.config, in(hub, "config.json"));
    cr_assert_null(f.trainer);
    cr_assert_eq(fv_checkpoint_resolve(in(hub, "model.safetensors"), &arena, &f), FV_OK);
    cr_assert_str_eq(f.config, in(hub, "config.json"));
    cr_assert_null(f.folder);

    put(root, "weights.safetensors", "bare");
    put(root, "config.json", "{}");
    cr_assert_eq(fv_checkpoint_resolve(bare, &arena, &f), FV_OK);
    cr_assert_str_eq(f.weights, bare);
    cr_assert_null(f.config, "some other program's config.json");
}

Test(core_checkpoint, what_leads_nowhere) {
    fv_checkpoint_files f;

    cr_assert_eq(fv_checkpoint_resolve(in(root, "absent"), &arena, &f), FV_ERR_NOT_FOUND);
    cr_assert_not_null(strstr(fv_error_message(), "absent"));
    cr_assert_eq(fv_checkpoint_resolve(root, &arena, &f), FV_ERR_NOT_FOUND);
    cr_assert_not_null(strstr(fv_error_message(), "model.safetensors"), "%s", fv_error_message());
    cr_assert_null(f.weights);
}

Test(core_checkpoint, unwritable_runs_are_errors) {
    fv_checkpoint_writer w;

    put(root, "file", "x");
    cr_assert_neq(fv_checkpoint_begin(in(root, "file/run"), 1, -1, &arena, &w), FV_OK);
    cr_assert_not_null(strstr(fv_error_message(), "file"), "%s", fv_error_message());
    save(1, FV_CHECKPOINT_NO_STEP, "one");
    cr_assert_eq(fv_folder_create(in(run, "last")), FV_OK);
    cr_assert_eq(fv_checkpoint_link(run, "last", "checkpoint-1"), FV_ERR_IO);
    cr_assert_eq(names_in_run(), 2, "no temporary link stays");
}

Test(core_checkpoint, the_n_th_allocation_fails) {
    fv_checkpoint_writer w;
    fv_checkpoint_files f;
    int failures = 0;

    save(1, FV_CHECKPOINT_NO_STEP, "one");
    cr_assert_eq(fv_checkpoint_link(run, "last", "checkpoint-1"), FV_OK);
    for (uint64_t n = 1;; n++) {
        fv_arena own = {.chunk_bytes = 64};
        fv_alloc_fail_at(n);
        fv_status status = fv_checkpoint_begin(run, 2, 7, &own, &w);
        if (status == FV_OK) status = fv_checkpoint_commit(&w);
        if (status == FV_OK) status = fv_checkpoint_prune(run, 0);
        if (status == FV_OK) status = fv_checkpoint_link(run, "last", "checkpoint-1");
        if (status == FV_OK) status = fv_checkpoint_resolve(run, &own, &f);
        fv_alloc_fail_at(0);
        fv_arena_destroy(&own);
        if (status == FV_OK) break;
        cr_assert_eq(status, FV_ERR_NOMEM, "%s", fv_error_message());
        cr_assert_str_eq(resolved(run), "one", "the linked one survives a failed pruning");
        failures++;
    }
    cr_assert_gt(failures, 20);
}
