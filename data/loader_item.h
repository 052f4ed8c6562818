/* loader_item.h - one sample of a batch: what a worker does between two looks at the queue. */
#ifndef FV_DATA_LOADER_ITEM_H
#define FV_DATA_LOADER_ITEM_H

#include "data/buffer.h"
#include "data/loader.h"

#include <stdbool.h>

/* Memory of one worker, reused from image to image; a zeroed struct is ready. */
typedef struct fv_loader_memory {
    fv_workspace workspace;
    fv_buffer file;
    fv_image decoded, turned;
} fv_loader_memory;
void fv_loader_memory_free(fv_loader_memory *memory);

typedef struct fv_loader_outcome {
    fv_status bad;     /* the position's own image is bad */
    fv_status fatal;   /* a failure that is not the image's fault, or nothing to put in its place */
    bool left_out;     /* nothing was loaded */
    int64_t index;     /* in the data set, of what was loaded */
    char message[512]; /* of the fatal failure, else of the bad image */
} fv_loader_outcome;

/* Fills pixels [img_h, img_w, 3] with the sample at a position of the epoch order.  A bad image of
 * a training epoch is replaced by the next good one of the order, so that the result stays a
 * function of the position alone. */
void fv_loader_item(const fv_loader_config *config, const fv_loader_epoch *epoch, int64_t position,
                    fv_loader_memory *memory, float *pixels, fv_loader_outcome *out);

#endif
