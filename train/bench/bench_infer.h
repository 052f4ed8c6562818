/* bench_infer.h - how fast a model classifies images that lie in memory, in the passes that evaluation makes,
 * and how much of the machine's matrix-product rate that uses. */
#ifndef FV_TRAIN_BENCH_BENCH_INFER_H
#define FV_TRAIN_BENCH_BENCH_INFER_H

#include "core/report.h"
#include "core/settings.h"

/* Uses model, its groups, num_classes, img_size, batch_size, precision, seed, warmup
 * and steps: a step is a batch.  report may be NULL; its stop gives FV_ERR_INTERRUPTED.  Puts into the map
 * out what fv_bench_rate does. */
fv_status fv_bench_infer(const fv_settings *settings, const fv_report *report, fv_arena *arena,
                         fv_value *out);

#endif
