/* bench_ops.h - where the time of a training step goes, op by op, against what the machine can do; and how long
 * the same tasks would take on more cores, by calculation. */
#ifndef FV_TRAIN_BENCH_BENCH_OPS_H
#define FV_TRAIN_BENCH_BENCH_OPS_H

#include "core/report.h"
#include "core/settings.h"
#include "train/bench/bench_step.h"

/* Uses what bench_train does, and simulate_threads.  The whole batch is one pass, as more cores would have it; with one
 * thread nothing disturbs the tasks that are timed.
 * report may be NULL; its stop gives FV_ERR_INTERRUPTED.  Puts into the map out:
 *   gemm_peak_gflops, memory_peak_gbytes (per second)   the two roofs, measured in the same run
 *   step_seconds, threads, precision
 *   ops        list of maps, the slowest first, means over the steps: op, pass ("forward", "backward", and
 *              "step" for what is outside of ops: loss, norm of the gradient, optimiser), calls, seconds, share
 *              (of the step), flops, bytes, gflops and gbytes (per second), roof: the least time that operations
 *              and bytes allow over the time taken, 0..1; efficiency: of N = simulate_threads
 *   simulated  list of maps: threads, seconds, speedup over one thread, efficiency
 * Backward counts twice the operations and bytes of forward.  Of a parallel region's tasks the shortest times
 * over the steps count; on N threads it takes max(work / N, longest task), and its efficiency is work over N times
 * that.  What is outside of regions takes what it takes here. */
fv_status fv_bench_ops(const fv_settings *settings, const fv_report *report, fv_arena *arena,
                       fv_value *out);

/* The same for updates that have been warmed up, in the passes that b makes: memory_peak_gbytes and ops only. */
fv_status fv_bench_ops_profile(fv_bench_step *b, fv_arena *arena, fv_value *out);

#endif
