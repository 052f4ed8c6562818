/* data_export.h - fovea data export: batches of a training as a file, and as pictures to look at. */
#ifndef FV_CLI_DATA_EXPORT_H
#define FV_CLI_DATA_EXPORT_H

#include "cli/command.h"

/* Writes --out, a safetensors file of the first --steps updates of --epoch, and beside it a PNG of its
 * first images under the same name with .png:
 *
 *     pixels   [n, H, W, 3] F32   normalised as the model gets them
 *     labels   [n]          I32
 *     indices  [n]          I64   into the training split
 *     targets  [n, K]       F32   where mixup, cutmix or --bce-loss make the loss use them
 *
 * n = steps x effective batch, in the order of the updates.  __metadata__ has "names" and "classes",
 * JSON lists of the samples' names and of the class names; "epoch", "steps", "batch_size", "seed",
 * "mean" and "std". */
fv_status fv_data_export(const fv_args *args);

#endif
