/* trainer_internal.h - the trainer's parts, shared by the trainer_*.c files only. */
#ifndef FV_TRAIN_TRAINER_INTERNAL_H
#define FV_TRAIN_TRAINER_INTERNAL_H

#include "core/checkpoint.h"
#include "data/loader.h"
#include "eval/evaluate.h"
#include "train/mixup.h"
#include "train/run_log.h"
#include "train/run_state.h"
#include "train/schedule.h"
#include "train/stepper.h"
#include "train/trainer.h"

#define FV_RUN_CONFIG "config.yaml"
#define FV_RUN_INFO   "run.json"

struct fv_trainer {
    const fv_settings *settings;
    const fv_report *report;
    fv_arena arena; /* texts, history; lives as long as the trainer */
    fv_train_result result;

    const char *out;             /* run folder */
    int claim;                   /* on it, -1: not yet */
    fv_checkpoint_files resumed; /* folder NULL: a fresh run */
    fv_value *frozen;            /* the settings that results depend on */

    fv_dataset *train, *val;
    fv_preprocess preprocess;
    fv_augment augment;
    int workers;
    bool bf16;
    int64_t effective_batch, updates_per_epoch;
    int64_t epochs;    /* of the schedule, warm-up and cool-down included */
    int64_t stop_step; /* updates after which the run ends */
    fv_schedule schedule;

    fv_model *model;
    double *lr_scale; /* of each parameter, NULL without --layer-decay */
    fv_optimizer *optimizer;
    fv_ema *ema; /* NULL without --model-ema */
    fv_stepper *stepper;
    fv_loader *loader;
    fv_evaluator *evaluator;
    int64_t *order;  /* of the current epoch */
    uint8_t *repeat; /* its augmented copies; NULL: one of each image */
    fv_mixup_config mixup;
    float *targets; /* [images per pass, classes]; NULL when labels are all that the loss needs */

    fv_run_state state;
    fv_run_log log;
    int64_t saved_step; /* of the latest checkpoint, -1 = none */

    /* Wall time of this process. */
    double epoch_start, epoch_wait, interval_start, interval_wait;
    int64_t epoch_images; /* trained in this epoch by this process */
    int64_t recomputed;   /* blocks, as announced */
    int64_t interval_images;
};

/* trainer_data.c: opens both splits and looks for what would fail later. */
fv_status fv_trainer_open_data(fv_trainer *t);

/* trainer_initial.c: reads --initial-checkpoint into the initialised model, and tells what was adapted. */
fv_status fv_trainer_load_initial(fv_trainer *t);

/* trainer_targets.c */
/* What is mixed, from the settings.  Comes before the stepper, which it may give larger passes. */
fv_status fv_trainer_plan_mixing(fv_trainer *t, int64_t *batch_size);
/* The memory of targets; after the stepper. */
fv_status fv_trainer_allocate_targets(fv_trainer *t);
/* Mixes the images of a pass and sets its labels or targets.  */
void fv_trainer_set_targets(fv_trainer *t, const fv_batch *batch, fv_stepper_pass *pass);

/* trainer_resume.c */
/* Decides where the run lives and whether it goes on: sets out and resumed. */
fv_status fv_trainer_find_run(fv_trainer *t);
/* Makes the run folder and claims it, unless find_run did. */
fv_status fv_trainer_claim_run(fv_trainer *t);
/* The settings that results depend on, as a map. */
fv_status fv_trainer_freeze(fv_trainer *t);
/* Loads state, weights and optimiser; refuses settings that differ. */
fv_status fv_trainer_load(fv_trainer *t);

/* trainer_loop.c: a row was written for the end, by the last epoch or where --max-steps cut one. */
bool fv_trainer_finished(const fv_trainer *t);

/* trainer_checkpoint.c */
/* config.yaml as the run goes on now; run.json as it began. */
fv_status fv_trainer_write_info(fv_trainer *t);
/* Writes checkpoint-<epoch>[-<step>] from the current state and makes `last` point to it; best: the
 * link too. */
typedef struct fv_trainer_checkpoint {
    int64_t epoch, step; /* step may be FV_CHECKPOINT_NO_STEP */
    bool best, prune;
} fv_trainer_checkpoint;
fv_status fv_trainer_save(fv_trainer *t, fv_trainer_checkpoint what);
/* Puts the folder into the state that the end of fv_trainer_save leaves, after a kill in it. */
fv_status fv_trainer_settle(fv_trainer *t);

#endif
