/* bench_data.h - how fast images come in: reading, decoding and augmenting a training split, without a model. */
#ifndef FV_TRAIN_BENCH_BENCH_DATA_H
#define FV_TRAIN_BENCH_BENCH_DATA_H

#include "core/report.h"
#include "core/settings.h"

/* Uses data_dir, train_split and what else describes a data set, model (for the size of images and of passes), the
 * options of augmentation, batch_size, grad_accum_steps, workers, max_bad, seed, warmup and steps: a step is a pass
 * of the training, and epochs follow one another.  report may be NULL; its stop gives FV_ERR_INTERRUPTED.  Puts into the map out:
 *   images_per_second  of all steps together
 *   step_seconds       the median time for which fv_loader_next keeps its caller waiting
 *   images             in the training split
 *   pass_images, workers, peak_rss_mb */
fv_status fv_bench_data(const fv_settings *settings, const fv_report *report, fv_arena *arena,
                        fv_value *out);

#endif
