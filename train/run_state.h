/* run_state.h - where a run stands: everything beside weights and optimiser state that the next
 * update depends on.  Stored as trainer.json in each checkpoint; doubles survive bit for bit. */
#ifndef FV_TRAIN_RUN_STATE_H
#define FV_TRAIN_RUN_STATE_H

#include "core/value.h"

/* One row of summary.csv.  Wall time is not part of it: equal runs have equal records. */
typedef struct fv_epoch_record {
    int64_t epoch, step;                    /* step: updates done at its end */
    double train_loss, grad_norm;           /* means over the epoch's samples and updates */
    double lr;                              /* of the last update */
    bool evaluated;                         /* the next four are set */
    double eval_loss, eval_top1, eval_top5; /* top1, top5 in percent */
    int64_t eval_count;
    bool averaged; /* the next three are set: the same of the averaged weights */
    double ema_loss, ema_top1, ema_top5;
} fv_epoch_record;

typedef struct fv_best {
    bool exists;
    int64_t epoch;
    double eval_top1;       /* of the averaged weights where the run has them, as in timm */
    const char *checkpoint; /* "checkpoint-7" */
} fv_best;

/* Sums since the last line of log.jsonl. */
typedef struct fv_interval {
    double loss_sum, grad_norm_sum;
    int64_t updates;
} fv_interval;

/* What a run that was stopped in mid-epoch by --max-steps has written beyond its state: forgotten
 * when it goes on, so that going on equals never having stopped. */
typedef struct fv_final {
    bool exists;
    fv_epoch_record record;
    int64_t summary_bytes, log_bytes;
} fv_final;

typedef struct fv_run_state {
    int64_t epoch;           /* current one, from 0 */
    int64_t epoch_update;    /* updates of it that are done */
    int64_t step;            /* updates done in all */
    int64_t sample_position; /* of the epoch's order: the next sample */
    double loss_sum;         /* of this epoch's samples */
    double grad_norm_sum;    /* of this epoch's updates */
    double lr;               /* of the last update */
    fv_interval interval;
    fv_best best;
    int64_t summary_bytes, log_bytes; /* what of these files belongs to this state */
    fv_final final;
    fv_epoch_record *history; /* [n_history] in the arena */
    int64_t n_history, history_capacity;
} fv_run_state;

/* Appends to the history. */
fv_status fv_run_state_record(fv_run_state *state, const fv_epoch_record *record, fv_arena *arena);

/* To a map in arena (NULL when memory runs out) and back; texts stay in the map's arena, the history
 * goes to arena.  Errors of reading: FV_ERR_FORMAT naming the key. */
fv_value *fv_run_state_write(const fv_run_state *state, fv_arena *arena);
fv_status fv_run_state_read(fv_value *map, fv_arena *arena, fv_run_state *out);

#endif
