#include "core/checkpoint.h"

#include "core/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PREFIX     "checkpoint-"
#define UNFINISHED ".tmp" /* being written or being removed */
#define REPLACED   ".old" /* put aside while its successor is renamed */

static const char *const link_names[] = {"last", "best"};
#define N_LINKS 2

static fv_status system_error(const char *verb, const char *path) {
    return FV_FAIL(FV_ERR_IO, "%s: cannot %s: %s", path, verb, strerror(errno));
}

/* Decimal digits without sign or leading zero, so that a name has one spelling. */
static bool parse_number(const char **s, int64_t *out) {
    const char *p = *s;
    int64_t v = 0;

    if (*p < '0' || *p > '9' || (*p == '0' && p[1] >= '0' && p[1] <= '9')) return false;
    for (; *p >= '0' && *p <= '9'; p++)
        if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, *p - '0', &v))
            return false;
    *s = p;
    *out = v;
    return true;
}

/* "checkpoint-<epoch>" or "checkpoint-<epoch>-<step>", then the ending and nothing else. */
static bool parse_name(const char *name, const char *ending, fv_checkpoint_entry *out) {
    const char *p = name + strlen(PREFIX);

    if (strncmp(name, PREFIX, strlen(PREFIX)) != 0) return false;
    *out = (fv_checkpoint_entry){.name = name, .step = FV_CHECKPOINT_NO_STEP};
    if (!parse_number(&p, &out->epoch)) return false;
    if (*p == '-') {
        p++;
        if (!parse_number(&p, &out->step)) return false;
    }
    return strcmp(p, ending) == 0;
}

/* ---- leftovers ------------------------------------------------------------------------------ */

/* checkpoint-N.old: its successor was not renamed yet (put it back) or was (remove it). */
static fv_status settle_replaced(const char *run, const char *name, fv_arena *arena) {
    const int stem = (int)(strlen(name) - strlen(REPLACED));
    const char *aside = fv_arena_printf(arena, "%s/%s", run, name);
    const char *final = fv_arena_printf(arena, "%s/%.*s", run, stem, name);

    if (!aside || !final) return FV_ERR_NOMEM;
    if (fv_folder_exists(final)) return fv_folder_remove(aside);
    return rename(aside, final) == 0 ? FV_OK : system_error("rename", aside);
}

static fv_status remove_unfinished(const char *run, const char *name, fv_arena *arena) {
    const char *path = fv_arena_printf(arena, "%s/%s", run, name);
    return path ? fv_folder_remove(path) : FV_ERR_NOMEM;
}

static bool is_unfinished(const char *name) {
    fv_checkpoint_entry entry;

    for (int k = 0; k < N_LINKS; k++) {
        const size_t n = strlen(link_names[k]);
        if (strncmp(name, link_names[k], n) == 0 && strcmp(name + n, UNFINISHED) == 0) return true;
    }
    return parse_name(name, UNFINISHED, &entry);
}

/* What a kill can leave: our names with our endings; nothing else is touched. */
static fv_status clear_leftovers(const char *run, fv_arena *arena) {
    fv_names names = {0};
    fv_checkpoint_entry entry;
    fv_status status = fv_folder_list(run, &names);

    for (int64_t i = 0; i < names.count && status == FV_OK; i++) {
        if (is_unfinished(names.name[i]))
            status = remove_unfinished(run, names.name[i], arena);
        else if (parse_name(names.name[i], REPLACED, &entry))
            status = settle_replaced(run, names.name[i], arena);
    }
    fv_names_free(&names);
    return status;
}

fv_status fv_checkpoint_recover(const char *run) {
    fv_arena arena = {0};
    const fv_status status = fv_folder_exists(run) ? clear_leftovers(run, &arena) : FV_OK;

    fv_arena_destroy(&arena);
    return status;
}

/* ---- writing -------------------------------------------------------------------------------- */

fv_status fv_checkpoint_begin(const char *run, int64_t epoch, int64_t step, fv_arena *arena,
                              fv_checkpoint_writer *out) {
    *out = (fv_checkpoint_writer){0};
    fv_checkpoint_writer w = {.run = fv_arena_strdup(arena, run)};
    w.name = step == FV_CHECKPOINT_NO_STEP
                 ? fv_arena_printf(arena, PREFIX "%" PRId64, epoch)
                 : fv_arena_printf(arena, PREFIX "%" PRId64 "-%" PRId64, epoch, step);
    if (w.name) w.path = fv_arena_printf(arena, "%s/%s", run, w.name);
    if (w.path) w.folder = fv_arena_printf(arena, "%s" UNFINISHED, w.path);
    if (!w.run || !w.folder) return FV_ERR_NOMEM;

    FV_TRY(fv_folder_create(run));
    FV_TRY(clear_leftovers(run, arena));
    if (mkdir(w.folder, 0777) != 0) return system_error("create", w.folder);
    *out = w;
    return FV_OK;
}

/* Every file of the folder, then the folder with their names. */
static fv_status sync_files(const char *folder, fv_arena *arena) {
    fv_names names = {0};
    fv_status status = fv_folder_list(folder, &names);

    for (int64_t i = 0; i < names.count && status == FV_OK; i++) {
        const char *path = fv_arena_printf(arena, "%s/%s", folder, names.name[i]);
        const int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
        if (!path)
            status = FV_ERR_NOMEM;
        else if (fd < 0 || fsync(fd) != 0)
            status = system_error("sync", path);
        if (fd >= 0) close(fd);
    }
    fv_names_free(&names);
    return status == FV_OK ? fv_folder_sync(folder) : status;
}

/* The folder takes the place of the one that is there.  Linux can swap the two names in one step;
 * where the file system cannot, the old one steps aside first, and readers look there too. */
static fv_status replace_folder(const fv_checkpoint_writer *w, fv_arena *arena) {
    const char *old = w->folder;

    if (renameat2(AT_FDCWD, w->folder, AT_FDCWD, w->path, RENAME_EXCHANGE) != 0) {
        old = fv_arena_printf(arena, "%s" REPLACED, w->path);
        if (!old) return FV_ERR_NOMEM;
        FV_TRY(fv_folder_remove(old));
        if (rename(w->path, old) != 0) return system_error("rename", w->path);
        if (rename(w->folder, w->path) != 0) return system_error("rename", w->folder);
    }
    FV_TRY(fv_folder_sync(w->run)); /* the new names first, then the removal */
    return fv_folder_remove(old);
}

fv_status fv_checkpoint_commit(const fv_checkpoint_writer *w) {
    fv_arena arena = {0};
    fv_status status = sync_files(w->folder, &arena);

    if (status == FV_OK && rename(w->folder, w->path) != 0)
        status = errno == ENOTEMPTY || errno == EEXIST ? replace_folder(w, &arena)
                                                       : system_error("rename", w->folder);
    if (status == FV_OK) status = fv_folder_sync(w->run);
    fv_arena_destroy(&arena);
    return status;
}

void fv_checkpoint_abandon(const fv_checkpoint_writer *w) {
    if (w->folder) fv_folder_remove(w->folder);
}

fv_status fv_checkpoint_link(const char *run, const char *link, const char *name) {
    fv_arena arena = {0};
    fv_status status = FV_ERR_NOMEM;
    const char *target = fv_arena_printf(&arena, "%s/%s", run, name);
    const char *path = fv_arena_printf(&arena, "%s/%s", run, link);
    const char *temporary = fv_arena_printf(&arena, "%s/%s" UNFINISHED, run, link);

    if (!target || !path || !temporary) goto cleanup;
    if (!fv_folder_exists(target)) {
        status = FV_FAIL(FV_ERR_NOT_FOUND, "%s: no such checkpoint", target);
        goto cleanup;
    }
    unlink(temporary); /* what a kill left */
    status = FV_OK;
    if (symlink(name, temporary) != 0)
        status = system_error("create", temporary);
    else if (rename(temporary, path) != 0) {
        status = system_error("replace", path);
        unlink(temporary);
    }
    if (status == FV_OK) status = fv_folder_sync(run);
cleanup:
    fv_arena_destroy(&arena);
    return status;
}

/* ---- finding -------------------------------------------------------------------------------- */

static int compare_entries(const void *pa, const void *pb) {
    const fv_checkpoint_entry *a = pa, *b = pb;
    const uint64_t a_step = (uint64_t)a->step,
                   b_step = (uint64_t)b->step; /* no step: the largest */

    if (a->epoch != b->epoch) return a->epoch < b->epoch ? -1 : 1;
    return a_step == b_step ? 0 : a_step < b_step ? -1 : 1;
}

fv_status fv_checkpoint_list_run(const char *run, fv_arena *arena, fv_checkpoint_list *out) {
    fv_names names = {0};
    fv_checkpoint_list list = {0};

    *out = list;
    fv_status status = fv_folder_list(run, &names);
    if (status != FV_OK) return status;
    list.item = fv_arena_alloc(arena, (size_t)names.count, sizeof *list.item);
    if (!list.item) status = FV_ERR_NOMEM;
    for (int64_t i = 0; i < names.count && status == FV_OK; i++) {
        fv_checkpoint_entry *e = &list.item[list.count];
        if (!parse_name(names.name[i], "", e)) continue;
        const char *path = fv_arena_printf(arena, "%s/%s", run, names.name[i]);
        if (!path)
            status = FV_ERR_NOMEM;
        else if (fv_folder_exists(path)) {
            e->name = path + strlen(run) + 1;
            list.count++;
        }
    }
    fv_names_free(&names);
    if (status != FV_OK) return status;
    if (list.count > 1) qsort(list.item, (size_t)list.count, sizeof *list.item, compare_entries);
    *out = list;
    return FV_OK;
}

/* The checkpoint a link of the run folder names, "" when there is no such link. */
static fv_status read_link(const char *run, const char *link, fv_arena *arena, const char **out) {
    char target[PATH_MAX];
    const char *path = fv_arena_printf(arena, "%s/%s", run, link);

    *out = NULL;
    if (!path) return FV_ERR_NOMEM;
    const ssize_t n = readlink(path, target, sizeof target - 1);
    if (n < 0 && errno != ENOENT && errno != EINVAL) return system_error("read", path);
    target[n > 0 ? n : 0] = '\0';
    const char *slash = strrchr(target, '/');
    *out = fv_arena_strdup(arena, slash ? slash + 1 : target);
    return *out ? FV_OK : FV_ERR_NOMEM;
}

/* Renamed first, so that a kill in the middle leaves no half checkpoint under its name. */
static fv_status remove_checkpoint(const char *run, const char *name, fv_arena *arena) {
    const char *path = fv_arena_printf(arena, "%s/%s", run, name);
    const char *doomed = fv_arena_printf(arena, "%s/%s" UNFINISHED, run, name);

    if (!path || !doomed) return FV_ERR_NOMEM;
    FV_TRY(fv_folder_remove(doomed));
    if (rename(path, doomed) != 0) return system_error("remove", path);
    return fv_folder_remove(doomed);
}

fv_status fv_checkpoint_prune(const char *run, int64_t keep) {
    fv_arena arena = {0};
    fv_checkpoint_list list;
    const char *kept[N_LINKS];

    fv_status status = fv_checkpoint_list_run(run, &arena, &list);
    for (int k = 0; k < N_LINKS && status == FV_OK; k++)
        status = read_link(run, link_names[k], &arena, &kept[k]);
    for (int64_t i = 0; status == FV_OK && i < list.count - keep; i++) {
        const char *name = list.item[i].name;
        bool linked = false;
        for (int k = 0; k < N_LINKS; k++) linked |= strcmp(name, kept[k]) == 0;
        if (!linked) status = remove_checkpoint(run, name, &arena);
    }
    fv_arena_destroy(&arena);
    return status;
}

/* folder/name when it is a file, else NULL; *status gets FV_ERR_NOMEM. */
static const char *file_in(const char *folder, const char *name, fv_arena *arena,
                           fv_status *status) {
    const char *path = fv_arena_printf(arena, "%s/%s", folder, name);
    if (!path) *status = FV_ERR_NOMEM;
    return path && fv_file_exists(path) ? path : NULL;
}

/* A checkpoint or hub folder; out->weights stays NULL when it is neither. */
static fv_status resolve_folder(const char *folder, fv_arena *arena, fv_checkpoint_files *out) {
    fv_status status = FV_OK;

    *out = (fv_checkpoint_files){0};
    out->weights = file_in(folder, FV_CHECKPOINT_WEIGHTS, arena, &status);
    if (!out->weights) return status;
    out->folder = fv_arena_strdup(arena, folder);
    out->config = file_in(folder, FV_CHECKPOINT_CONFIG, arena, &status);
    out->ema = file_in(folder, FV_CHECKPOINT_EMA, arena, &status);
    out->optimizer = file_in(folder, FV_CHECKPOINT_OPTIMIZER, arena, &status);
    out->trainer = file_in(folder, FV_CHECKPOINT_TRAINER, arena, &status);
    return out->folder ? status : FV_ERR_NOMEM;
}

/* A checkpoint of a run by name, or what stands aside for it in the middle of a replacement. */
static fv_status resolve_named(const char *run, const char *name, fv_arena *arena,
                               fv_checkpoint_files *out) {
    const char *folder = fv_arena_printf(arena, "%s/%s", run, name);
    const char *aside = fv_arena_printf(arena, "%s/%s" REPLACED, run, name);

    if (!folder || !aside) return FV_ERR_NOMEM;
    return resolve_folder(fv_folder_exists(folder) ? folder : aside, arena, out);
}

static fv_status resolve_run(const char *run, fv_arena *arena, fv_checkpoint_files *out) {
    fv_checkpoint_list list;
    const char *last = NULL;

    FV_TRY(read_link(run, link_names[0], arena, &last));
    if (last[0]) FV_TRY(resolve_named(run, last, arena, out));
    if (out->weights) return FV_OK;
    FV_TRY(fv_checkpoint_list_run(run, arena, &list));
    for (int64_t i = list.count; i-- > 0 && !out->weights;)
        FV_TRY(resolve_named(run, list.item[i].name, arena, out));
    return FV_OK;
}

static fv_status resolve_file(const char *path, fv_arena *arena, fv_checkpoint_files *out) {
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    fv_status status = FV_OK;

    *out = (fv_checkpoint_files){.weights = fv_arena_strdup(arena, path)};
    if (!out->weights) return FV_ERR_NOMEM;
    if (strcmp(base, FV_CHECKPOINT_WEIGHTS) != 0 && strcmp(base, FV_CHECKPOINT_EMA) != 0)
        return FV_OK;
    const char *folder = slash ? fv_arena_printf(arena, "%.*s", (int)(slash - path), path) : ".";
    if (!folder) return FV_ERR_NOMEM;
    out->config = file_in(folder, FV_CHECKPOINT_CONFIG, arena, &status);
    return status;
}

fv_status fv_checkpoint_resolve(const char *path, fv_arena *arena, fv_checkpoint_files *out) {
    struct stat info;

    *out = (fv_checkpoint_files){0};
    if (stat(path, &info) != 0)
        return FV_FAIL(errno == ENOENT || errno == ENOTDIR ? FV_ERR_NOT_FOUND : FV_ERR_IO,
                       "%s: no such checkpoint: %s", path, strerror(errno));
    if (!S_ISDIR(info.st_mode)) return resolve_file(path, arena, out);
    FV_TRY(resolve_folder(path, arena, out));
    if (!out->weights) FV_TRY(resolve_run(path, arena, out));
    if (out->weights) return FV_OK;
    return FV_FAIL(FV_ERR_NOT_FOUND,
                   "%s: neither a checkpoint (no " FV_CHECKPOINT_WEIGHTS
                   ") nor a run folder with checkpoints",
                   path);
}
