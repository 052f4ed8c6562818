/* bench_explain.h - how long explanation methods take: noise images that lie in memory, a model with
 * initial weights, and each method's whole work on them, without decoding and drawing. */
#ifndef FV_TRAIN_BENCH_BENCH_EXPLAIN_H
#define FV_TRAIN_BENCH_BENCH_EXPLAIN_H

#include "core/report.h"
#include "core/settings.h"

/* Uses model, its groups, num_classes, img_size, method, layer, batch_size (8 unless given), seed, warmup
 * and steps.  In every step all methods take their turn.  report may be NULL; its stop gives
 * FV_ERR_INTERRUPTED.  Puts into the map out:
 *   forward_seconds  median time of a forward pass, per image
 *   batch_size, threads, peak_rss_mb
 *   methods          list of maps: method, seconds (median, per image), fastest, slowest, and forwards,
 *                    the median in forward passes */
fv_status fv_bench_explain(const fv_settings *settings, const fv_report *report, fv_arena *arena,
                           fv_value *out);

#endif
