/* loader.h - reads, decodes and transforms samples ahead of their use, in worker threads, and hands
 * out batches in order.
 *
 * What a batch holds depends on its position in the epoch order alone, never on the number of
 * workers or on where loading started, so an epoch can be resumed from any position.  Workers never
 * touch OpenMP or the backend, and let compute threads go first.  After warm-up only decoders allocate,
 * inside their libraries. */
#ifndef FV_DATA_LOADER_H
#define FV_DATA_LOADER_H

#include "data/dataset.h"
#include "data/transform.h"

/* What stays the same for the life of a loader.  dataset must outlive it; the rest is copied. */
typedef struct fv_loader_config {
    const fv_dataset *dataset;
    const fv_preprocess *preprocess;
    const fv_augment *augment; /* NULL: evaluation */
    uint64_t seed;
    int workers;        /* 0 loads in the thread that calls fv_loader_next */
    int64_t depth;      /* batches in memory, the one in use included; 0 = 3, else at least 2 */
    int64_t batch_size; /* the most samples of a batch */
    /* Bad images (missing, empty, corrupt) that are tolerated per epoch.  In training the slot of
     * such an image takes the next good one of the epoch order; in evaluation it is left out, so
     * that a batch may be shorter than its range of positions.  Of repeated ones the first copy counts. */
    int64_t max_bad;
} fv_loader_config;

/* Which positions of which order to load: groups of `group` positions (an effective batch) from
 * first on, and of each group the positions offset .. offset + share - 1 (this process's part), cut
 * into batches of batch_size with a shorter one at the end of a share. */
typedef struct fv_loader_epoch {
    uint32_t epoch;
    const int64_t *order; /* indices into the data set; borrowed until the next start or destroy */
    const uint8_t
        *repeat; /* [n_order], likewise: which augmented copy of the index; NULL: the first */
    int64_t n_order;
    int64_t first, end; /* positions; end 0 = n_order */
    int64_t group;      /* 0 = everything; else positions that do not fill a group are left out */
    int64_t offset, share; /* share 0 = the rest of the group */
} fv_loader_epoch;

/* Belongs to the loader; valid until fv_batch_release. */
typedef struct fv_batch {
    float *pixels;   /* [n, img_h, img_w, 3] */
    int32_t *labels; /* [n] */
    int64_t *index;  /* [n], into the data set */
    int64_t n;
    int64_t position; /* of the first sample, in the epoch order */
    int64_t n_bad;    /* bad images met at its positions */
    const char *bad;  /* message of the first of them, with its path; "" without */
} fv_batch;

typedef struct fv_loader fv_loader;

/* How many loader threads a command uses: what --workers asks for, or when that is negative one for each
 * allowed core, up to 8. */
int fv_loader_workers(int64_t asked);

/* The depth with which so many images are loaded ahead of the batch in use. */
int64_t fv_loader_depth(int64_t images, int64_t batch_size);

/* Starts the workers, which wait for fv_loader_start.  The caller frees *out with
 * fv_loader_destroy.  Errors: FV_ERR_CONFIG, FV_ERR_NOMEM, FV_ERR_INTERNAL (threads). */
fv_status fv_loader_create(const fv_loader_config *config, fv_loader **out);

/* Begins an epoch; what was under way of another one is dropped.  No batch may be held. */
fv_status fv_loader_start(fv_loader *loader, const fv_loader_epoch *epoch);

/* The next batch in order, *out NULL after the last one.  Waits for the workers.  More bad images
 * than max_bad: FV_ERR_FORMAT or what the file gave, naming the file; the error stays until the
 * next start.  FV_ERR_INTERNAL when the caller holds the batch whose memory is needed. */
fv_status fv_loader_next(fv_loader *loader, const fv_batch **out);

/* Gives a batch back; NULL is fine. */
void fv_batch_release(fv_loader *loader, const fv_batch *batch);

int64_t fv_loader_batches(const fv_loader *loader);     /* of the current epoch, in all */
int64_t fv_loader_bad(const fv_loader *loader);         /* bad images so far, this epoch */
double fv_loader_wait_seconds(const fv_loader *loader); /* spent in fv_loader_next, ever */

/* Stops the workers at any moment (each finishes its image); NULL is fine. */
void fv_loader_destroy(fv_loader *loader);

#endif
