/* bench_train.h - how fast a model trains on a batch that lies in memory: updates of the trainer's own
 * stepper (forward, backward, clipping, optimiser) without loading, and how much of the machine's
 * matrix-product rate they use. */
#ifndef FV_TRAIN_BENCH_BENCH_TRAIN_H
#define FV_TRAIN_BENCH_BENCH_TRAIN_H

#include "core/report.h"
#include "core/settings.h"

/* Uses model, its groups, num_classes, img_size, drop_path, batch_size, grad_accum_steps, precision,
 * seed, warmup, steps, grad_checkpointing, mem_limit and profile.  report may be NULL; its stop gives
 * FV_ERR_INTERRUPTED.  Puts into the map out: what fv_bench_rate does, for three times the work of a forward
 * pass, blocks and those of them that are computed again, loss, of the last step, and with profile the ops of
 * as many steps again: their clocks would slow down the measured ones. */
fv_status fv_bench_train(const fv_settings *settings, const fv_report *report, fv_arena *arena,
                         fv_value *out);

#endif
