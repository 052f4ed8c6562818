/* checkpoint.h - folders of checkpoints: written whole or not at all, found again, pruned.
 *
 * A run folder holds checkpoint-<epoch> and checkpoint-<epoch>-<step> folders and the relative
 * symbolic links `last` and `best`.  A checkpoint is written into <name>.tmp and renamed when its
 * files are on the disk; links and removals are renames too.  A kill at any point leaves the old
 * state or the new one, and leftovers ending in .tmp or .old that the next fv_checkpoint_begin clears
 * away.  This module knows nothing of what the files hold.  One process writes to a run folder. */
#ifndef FV_CORE_CHECKPOINT_H
#define FV_CORE_CHECKPOINT_H

#include "core/arena.h"
#include "core/status.h"

#include <stdint.h>

#define FV_CHECKPOINT_WEIGHTS   "model.safetensors"
#define FV_CHECKPOINT_EMA       "model_ema.safetensors"
#define FV_CHECKPOINT_OPTIMIZER "optimizer.safetensors"
#define FV_CHECKPOINT_TRAINER   "trainer.json"
#define FV_CHECKPOINT_CONFIG    "config.json"

#define FV_CHECKPOINT_NO_STEP (-1)

/* A checkpoint being written; texts live in the arena given to fv_checkpoint_begin. */
typedef struct fv_checkpoint_writer {
    const char *run;
    const char *name;   /* "checkpoint-12" */
    const char *folder; /* "RUN/checkpoint-12.tmp": put the files here */
    const char *path;   /* "RUN/checkpoint-12", after fv_checkpoint_commit */
} fv_checkpoint_writer;

/* Creates the run folder when needed, clears leftovers, and makes an empty <name>.tmp.  step is
 * FV_CHECKPOINT_NO_STEP at the end of an epoch.  Errors: FV_ERR_IO, FV_ERR_NOT_FOUND, FV_ERR_NOMEM. */
fv_status fv_checkpoint_begin(const char *run, int64_t epoch, int64_t step, fv_arena *arena,
                              fv_checkpoint_writer *out);

/* Clears away what a kill left in a run folder, as fv_checkpoint_begin does; absent is fine. */
fv_status fv_checkpoint_recover(const char *run);

/* Syncs files and folder, renames to the final name, syncs the run folder.  A checkpoint of the same
 * name is replaced.  On failure the writer's folder stays for fv_checkpoint_abandon. */
fv_status fv_checkpoint_commit(const fv_checkpoint_writer *writer);

/* Removes the unfinished folder; errors do not matter (it is only a leftover). */
void fv_checkpoint_abandon(const fv_checkpoint_writer *writer);

/* Makes RUN/<link> ("last" or "best") point to the checkpoint called name, which must be there. */
fv_status fv_checkpoint_link(const char *run, const char *link, const char *name);

typedef struct fv_checkpoint_entry {
    const char *name;
    int64_t epoch, step; /* step may be FV_CHECKPOINT_NO_STEP */
} fv_checkpoint_entry;

typedef struct fv_checkpoint_list {
    fv_checkpoint_entry *item; /* in the arena */
    int64_t count;
} fv_checkpoint_list;

/* Finished checkpoints of a run folder, oldest first: by epoch, then by step, the end of an epoch
 * behind its steps. */
fv_status fv_checkpoint_list_run(const char *run, fv_arena *arena, fv_checkpoint_list *out);

/* Removes all but the newest `keep` checkpoints and those that `last` and `best` point to. */
fv_status fv_checkpoint_prune(const char *run, int64_t keep);

/* What a user's checkpoint argument means; texts in the arena, NULL for what is not there. */
typedef struct fv_checkpoint_files {
    const char *weights;   /* always */
    const char *folder;    /* the checkpoint's folder; NULL for a bare file */
    const char *config;    /* config.json */
    const char *ema;       /* model_ema.safetensors */
    const char *optimizer; /* optimizer.safetensors */
    const char *trainer;   /* trainer.json */
} fv_checkpoint_files;

/* path is a weights file, a checkpoint or hub folder (with model.safetensors), or a run folder, which
 * stands for its `last`, or for its newest checkpoint when there is no such link.  A weights file
 * called model.safetensors or model_ema.safetensors takes config.json from beside it.
 * Errors: FV_ERR_NOT_FOUND with what was looked for, FV_ERR_IO, FV_ERR_NOMEM. */
fv_status fv_checkpoint_resolve(const char *path, fv_arena *arena, fv_checkpoint_files *out);

#endif
