/* trainer.h - trains a model on a data set: epochs of updates, evaluation, checkpoints, exact resume.
 *
 *     fv_trainer *trainer = NULL;
 *     status = fv_trainer_create(&settings, &report, &trainer);
 *     if (status == FV_OK) status = fv_trainer_run(trainer);
 *     ... fv_trainer_result(trainer) ...
 *     fv_trainer_destroy(trainer);
 *
 * The effective batch (batch_size x grad_accum_steps) is the unit of everything: sample order, random
 * numbers, loss and gradient belong to positions in it, so that neither its split into steps nor
 * threads nor loader threads change a bit of the result.  Batch norms take their statistics from each
 * step, as in PyTorch: for their models the split matters, and is kept when a run is resumed.  A run that
 * was killed at any moment and is resumed ends with the same files as one that was not; wall times
 * (time_*, perf_*) aside.
 *
 * The run folder holds config.yaml, run.json, summary.csv, log.jsonl and the checkpoint folders with
 * the links `last` and `best` (core/checkpoint.h). */
#ifndef FV_TRAIN_TRAINER_H
#define FV_TRAIN_TRAINER_H

#include "core/report.h"
#include "core/settings.h"

typedef struct fv_trainer fv_trainer;

/* The last row of summary.csv, in numbers.  out belongs to the trainer. */
typedef struct fv_train_result {
    int64_t epoch, step; /* step: updates done */
    double train_loss;
    bool evaluated; /* the next three are set */
    double eval_loss, eval_top1, eval_top5;
    bool averaged; /* the next three are set: the same of the averaged weights */
    double eval_ema_loss, eval_ema_top1, eval_ema_top5;
    double images_per_second; /* training alone, of the last epoch; 0 when nothing was trained */
    bool already_finished;    /* a finished run was resumed: nothing was done */
    const char *out;          /* run folder */
} fv_train_result;

/* Does everything that can fail before the first step: opens and checks the data, builds the model,
 * finds and loads what is to be resumed, makes the run folder.  settings and report (may be NULL)
 * outlive *out, which the caller frees with fv_trainer_destroy.
 * settings.out is required, except with --resume FOLDER.  Errors: FV_ERR_CONFIG for what the caller
 * asked wrongly (also resuming with settings that change the result), others for data and files. */
fv_status fv_trainer_create(const fv_settings *settings, const fv_report *report, fv_trainer **out);

/* Trains to the end.  FV_ERR_INTERRUPTED after report->stop said so; a checkpoint is written then.
 * FV_ERR_NONFINITE "step N: ..." leaves the parameters of the step before and the last checkpoint. */
fv_status fv_trainer_run(fv_trainer *trainer);

/* Valid after fv_trainer_run returned FV_OK. */
const fv_train_result *fv_trainer_result(const fv_trainer *trainer);

void fv_trainer_destroy(fv_trainer *trainer); /* NULL is fine */

/* Learning rate that the settings mean: lr, or lr_base scaled to the effective batch as timm does. */
double fv_train_lr(const fv_settings *settings);

#endif
