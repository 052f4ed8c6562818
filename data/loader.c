#include "data/loader.h"

#include "core/alloc.h"
#include "core/clock.h"
#include "core/parallel.h"
#include "data/loader_item.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#define MAX_WORKERS   256
#define MAX_AUTO      8 /* workers, unless told otherwise */
#define DEFAULT_DEPTH 3
#define MAX_DEPTH     1024
#define NICENESS      5 /* of workers, above that of the process */

/* Batch k of the epoch lives in slot k % depth.  Workers claim single samples, batch by batch, so
 * that everybody works on the batch that is needed next. */
typedef struct slot {
    fv_batch batch; /* first member: fv_batch_release finds the slot by it */
    int64_t number; /* k */
    bool busy;      /* from the claim of its first sample to its release */
    int64_t n_items, n_done;
    bool *left_out;   /* [batch_size]: bad samples of an evaluation */
    int64_t bad_item; /* the first bad sample, in order of position */
    fv_status bad_status;
    char bad[512];
    int64_t fatal_item; /* likewise for failures that are not the image's fault */
    fv_status fatal_status;
    char fatal[512];
} slot;

typedef struct worker {
    fv_loader_memory memory;
    fv_loader *loader;
    pthread_t thread;
} worker;

struct fv_loader {
    fv_loader_config config;
    fv_preprocess preprocess;
    fv_augment augment;
    int64_t depth, image_values;
    slot *slots;
    worker *workers; /* at least one: without threads the caller works with the first */
    int n_threads;

    /* Guarded by the lock; epoch and per_group change only while nobody works. */
    pthread_mutex_t lock;
    pthread_cond_t work;  /* there are samples to claim, or it is time to stop */
    pthread_cond_t ready; /* a batch is complete, or nobody works any more */
    bool stopping;
    fv_loader_epoch epoch;
    int64_t per_group; /* batches of a group */
    int64_t n_batches, claim_batch, claim_item, next_batch, in_flight;
    int64_t n_bad;
    fv_status failed;
    char failure[600];
    double wait_seconds;
};

/* The queue.  The functions down to the public ones are called with the lock held. */

/* First position and number of samples of batch k. */
static int64_t batch_range(const fv_loader *loader, int64_t k, int64_t *n) {
    const fv_loader_epoch *e = &loader->epoch;
    const int64_t within = k % loader->per_group * loader->config.batch_size;
    const int64_t left = e->share - within;

    *n = left < loader->config.batch_size ? left : loader->config.batch_size;
    return e->first + k / loader->per_group * e->group + e->offset + within;
}

/* The next sample to load, if its slot is free. */
static bool claim(fv_loader *loader, slot **out, int64_t *item) {
    if (loader->stopping || loader->claim_batch >= loader->n_batches) return false;
    slot *s = &loader->slots[loader->claim_batch % loader->depth];
    if (loader->claim_item == 0) {
        if (s->busy) return false;
        s->busy = true;
        s->number = loader->claim_batch;
        s->batch.position = batch_range(loader, s->number, &s->n_items);
        s->batch.n = s->n_items;
        s->batch.n_bad = 0;
        s->n_done = 0;
        s->bad_item = s->fatal_item = INT64_MAX;
        s->bad_status = s->fatal_status = FV_OK;
        s->bad[0] = s->fatal[0] = 0;
    }
    *out = s;
    *item = loader->claim_item++;
    if (loader->claim_item == s->n_items) {
        loader->claim_item = 0;
        loader->claim_batch++;
    }
    loader->in_flight++;
    return true;
}

static void finish(fv_loader *loader, slot *s, int64_t item, const fv_loader_outcome *result) {
    s->left_out[item] = result->left_out;
    if (!result->left_out) {
        s->batch.index[item] = result->index;
        s->batch.labels[item] = loader->config.dataset->samples[result->index].label;
    }
    if (result->bad != FV_OK) s->batch.n_bad++;
    if (result->bad != FV_OK && item < s->bad_item) {
        s->bad_item = item;
        s->bad_status = result->bad;
        memcpy(s->bad, result->message, sizeof s->bad);
    }
    if (result->fatal != FV_OK && item < s->fatal_item) {
        s->fatal_item = item;
        s->fatal_status = result->fatal;
        memcpy(s->fatal, result->message, sizeof s->fatal);
    }
    s->n_done++;
    loader->in_flight--;
    if (s->n_done == s->n_items || loader->in_flight == 0) pthread_cond_broadcast(&loader->ready);
}

/* Takes the lock off while the sample is loaded. */
static void work_on(worker *w, slot *s, int64_t item) {
    fv_loader *loader = w->loader;
    float *pixels = s->batch.pixels + item * loader->image_values;
    const int64_t position = s->batch.position + item;
    fv_loader_outcome result;

    pthread_mutex_unlock(&loader->lock);
    fv_loader_item(&loader->config, &loader->epoch, position, &w->memory, pixels, &result);
    pthread_mutex_lock(&loader->lock);
    finish(loader, s, item, &result);
}

/* A loader thread that takes a core from a compute thread makes its whole team wait at the end of the region.
 * The niceness of Linux is a thread's own. */
static void let_others_first(void) {
    setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0) + NICENESS);
}

static void *run_worker(void *arg) {
    worker *w = arg;
    fv_loader *loader = w->loader;
    slot *s = NULL;
    int64_t item = 0;

    let_others_first();
    pthread_mutex_lock(&loader->lock);
    while (!loader->stopping) {
        if (claim(loader, &s, &item))
            work_on(w, s, item);
        else
            pthread_cond_wait(&loader->work, &loader->lock);
    }
    pthread_mutex_unlock(&loader->lock);
    return NULL;
}

static void release(fv_loader *loader, slot *s) {
    s->busy = false;
    pthread_cond_broadcast(&loader->work);
}

static fv_status fail(fv_loader *loader, fv_status status, const char *message) {
    loader->failed = status;
    snprintf(loader->failure, sizeof loader->failure, "%s", message);
    return FV_FAIL(status, "%s", message);
}

/* Waits until batch next_batch is complete, or makes it so. */
static fv_status complete(fv_loader *loader, slot *s) {
    while (!(s->busy && s->number == loader->next_batch && s->n_done == s->n_items)) {
        slot *claimed = NULL;
        int64_t item = 0;
        if (s->busy && s->number != loader->next_batch)
            return FV_FAIL(FV_ERR_INTERNAL, "loader: %lld batches are held, none can be filled",
                           (long long)loader->depth);
        if (loader->n_threads > 0)
            pthread_cond_wait(&loader->ready, &loader->lock);
        else if (claim(loader, &claimed, &item))
            work_on(&loader->workers[0], claimed, item);
    }
    return FV_OK;
}

/* Moves what is there over the samples that are left out. */
static void compact(const fv_loader *loader, slot *s) {
    const size_t image_bytes = (size_t)loader->image_values * sizeof(float);
    fv_batch *b = &s->batch;
    int64_t n = 0;

    for (int64_t i = 0; i < s->n_items; i++) {
        if (s->left_out[i]) continue;
        if (n < i) {
            memcpy(b->pixels + n * loader->image_values, b->pixels + i * loader->image_values,
                   image_bytes);
            b->labels[n] = b->labels[i];
            b->index[n] = b->index[i];
        }
        n++;
    }
    b->n = n;
}

static fv_status next_locked(fv_loader *loader, const fv_batch **out) {
    if (loader->failed != FV_OK) return FV_FAIL(loader->failed, "%s", loader->failure);
    while (loader->next_batch < loader->n_batches) {
        slot *s = &loader->slots[loader->next_batch % loader->depth];
        FV_TRY(complete(loader, s));
        loader->next_batch++;
        loader->n_bad += s->batch.n_bad;
        if (loader->n_bad > loader->config.max_bad) return fail(loader, s->bad_status, s->bad);
        if (s->fatal_status != FV_OK) return fail(loader, s->fatal_status, s->fatal);
        if (s->batch.n_bad > 0) compact(loader, s);
        if (s->batch.n > 0) {
            *out = &s->batch;
            return FV_OK;
        }
        release(loader, s);
    }
    return FV_OK;
}

fv_status fv_loader_next(fv_loader *loader, const fv_batch **out) {
    const double begin = fv_clock_seconds();

    *out = NULL;
    pthread_mutex_lock(&loader->lock);
    const fv_status status = next_locked(loader, out);
    loader->wait_seconds += fv_clock_seconds() - begin;
    pthread_mutex_unlock(&loader->lock);
    return status;
}

void fv_batch_release(fv_loader *loader, const fv_batch *batch) {
    if (!batch) return;
    pthread_mutex_lock(&loader->lock);
    for (int64_t i = 0; i < loader->depth; i++)
        if (&loader->slots[i].batch == batch) release(loader, &loader->slots[i]);
    pthread_mutex_unlock(&loader->lock);
}

static fv_status check_epoch(const fv_loader *loader, const fv_loader_epoch *e) {
    if (e->first < 0 || e->first > e->end || e->end > e->n_order || e->group < 0 || e->offset < 0 ||
        e->share < 0 || e->offset + e->share > e->group)
        return FV_FAIL(FV_ERR_CONFIG,
                       "loader: positions %lld..%lld of %lld in groups of %lld, part %lld + %lld",
                       (long long)e->first, (long long)e->end, (long long)e->n_order,
                       (long long)e->group, (long long)e->offset, (long long)e->share);
    for (int64_t i = 0; i < e->n_order; i++)
        if (e->order[i] < 0 || e->order[i] >= loader->config.dataset->n_samples)
            return FV_FAIL(FV_ERR_CONFIG, "loader: the order holds index %lld of %lld samples",
                           (long long)e->order[i], (long long)loader->config.dataset->n_samples);
    return FV_OK;
}

fv_status fv_loader_start(fv_loader *loader, const fv_loader_epoch *epoch) {
    fv_loader_epoch e = *epoch;

    if (e.end == 0) e.end = e.n_order;
    if (e.group == 0) e.group = e.end - e.first;
    if (e.share == 0) e.share = e.group - e.offset;
    FV_TRY(check_epoch(loader, &e));

    pthread_mutex_lock(&loader->lock);
    loader->n_batches = 0; /* nothing more to claim */
    while (loader->in_flight > 0) pthread_cond_wait(&loader->ready, &loader->lock);
    for (int64_t i = 0; i < loader->depth; i++) loader->slots[i].busy = false;
    loader->epoch = e;
    loader->per_group = (e.share + loader->config.batch_size - 1) / loader->config.batch_size;
    loader->n_batches = e.group > 0 ? (e.end - e.first) / e.group * loader->per_group : 0;
    loader->claim_batch = loader->claim_item = loader->next_batch = 0;
    loader->n_bad = 0;
    loader->failed = FV_OK;
    pthread_cond_broadcast(&loader->work);
    pthread_mutex_unlock(&loader->lock);
    return FV_OK;
}

static fv_status check_config(const fv_loader_config *c) {
    if (c->workers < 0 || c->workers > MAX_WORKERS)
        return FV_FAIL(FV_ERR_CONFIG, "workers %d is outside 0..%d", c->workers, MAX_WORKERS);
    if (c->batch_size < 1 || c->batch_size > 1 << 20)
        return FV_FAIL(FV_ERR_CONFIG, "batch size %lld is outside 1..%d", (long long)c->batch_size,
                       1 << 20);
    if (c->max_bad < 0)
        return FV_FAIL(FV_ERR_CONFIG, "max_bad %lld is negative", (long long)c->max_bad);
    if (c->depth < 0 || c->depth == 1 || c->depth > MAX_DEPTH)
        return FV_FAIL(FV_ERR_CONFIG, "queue depth %lld is outside 2..%d", (long long)c->depth,
                       MAX_DEPTH);
    if (c->augment) FV_TRY(fv_augment_check(c->augment));
    return fv_preprocess_check(c->preprocess);
}

int64_t fv_loader_depth(int64_t images, int64_t batch_size) {
    const int64_t ahead = (images + batch_size - 1) / batch_size;
    return ahead < DEFAULT_DEPTH - 1 ? DEFAULT_DEPTH : ahead < MAX_DEPTH ? ahead + 1 : MAX_DEPTH;
}

static fv_status create_slots(fv_loader *loader) {
    const size_t n = (size_t)loader->config.batch_size;

    loader->slots = fv_calloc((size_t)loader->depth, sizeof *loader->slots);
    if (!loader->slots) return FV_ERR_NOMEM;
    for (int64_t i = 0; i < loader->depth; i++) {
        slot *s = &loader->slots[i];
        s->batch.pixels = fv_alloc(n, (size_t)loader->image_values * sizeof(float));
        s->batch.labels = fv_alloc(n, sizeof *s->batch.labels);
        s->batch.index = fv_alloc(n, sizeof *s->batch.index);
        s->left_out = fv_alloc(n, sizeof *s->left_out);
        s->batch.bad = s->bad;
        if (!s->batch.pixels || !s->batch.labels || !s->batch.index || !s->left_out)
            return FV_ERR_NOMEM;
    }
    return FV_OK;
}

/* Signals go to the program's own threads. */
static fv_status create_workers(fv_loader *loader) {
    const int n = loader->config.workers;
    sigset_t all, old;
    int failed = 0;

    loader->workers = fv_calloc(n > 0 ? (size_t)n : 1, sizeof *loader->workers);
    if (!loader->workers) return FV_ERR_NOMEM;
    loader->workers[0].loader = loader;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    for (int i = 0; i < n && !failed; i++) {
        loader->workers[i].loader = loader;
        failed = pthread_create(&loader->workers[i].thread, NULL, run_worker, &loader->workers[i]);
        if (!failed) loader->n_threads++;
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (failed) return FV_FAIL(FV_ERR_INTERNAL, "cannot start a worker: %s", strerror(failed));
    return FV_OK;
}

int fv_loader_workers(int64_t asked) {
    const int cores = fv_threads_available();

    if (asked >= 0) return (int)asked;
    return cores < MAX_AUTO ? cores : MAX_AUTO;
}

fv_status fv_loader_create(const fv_loader_config *config, fv_loader **out) {
    *out = NULL;
    FV_TRY(check_config(config));
    fv_loader *loader = fv_calloc(1, sizeof *loader);
    if (!loader) return FV_ERR_NOMEM;
    loader->config = *config;
    loader->preprocess = *config->preprocess;
    loader->config.preprocess = &loader->preprocess;
    if (config->augment) {
        loader->augment = *config->augment;
        loader->config.augment = &loader->augment;
    }
    loader->depth = config->depth ? config->depth : DEFAULT_DEPTH;
    loader->image_values = config->preprocess->img_h * config->preprocess->img_w * 3;
    pthread_mutex_init(&loader->lock, NULL);
    pthread_cond_init(&loader->work, NULL);
    pthread_cond_init(&loader->ready, NULL);
    fv_status status = create_slots(loader);
    if (status == FV_OK) status = create_workers(loader);
    if (status != FV_OK) {
        fv_loader_destroy(loader);
        return status;
    }
    *out = loader;
    return FV_OK;
}

void fv_loader_destroy(fv_loader *loader) {
    if (!loader) return;
    pthread_mutex_lock(&loader->lock);
    loader->stopping = true;
    pthread_cond_broadcast(&loader->work);
    pthread_mutex_unlock(&loader->lock);
    for (int i = 0; i < loader->n_threads; i++) pthread_join(loader->workers[i].thread, NULL);
    const int n_workers = loader->config.workers > 0 ? loader->config.workers : 1;
    for (int i = 0; loader->workers && i < n_workers; i++)
        fv_loader_memory_free(&loader->workers[i].memory);
    for (int64_t i = 0; loader->slots && i < loader->depth; i++) {
        fv_free(loader->slots[i].batch.pixels);
        fv_free(loader->slots[i].batch.labels);
        fv_free(loader->slots[i].batch.index);
        fv_free(loader->slots[i].left_out);
    }
    fv_free(loader->workers);
    fv_free(loader->slots);
    pthread_cond_destroy(&loader->ready);
    pthread_cond_destroy(&loader->work);
    pthread_mutex_destroy(&loader->lock);
    fv_free(loader);
}

int64_t fv_loader_batches(const fv_loader *loader) { return loader->n_batches; }

int64_t fv_loader_bad(const fv_loader *loader) { return loader->n_bad; }

double fv_loader_wait_seconds(const fv_loader *loader) { return loader->wait_seconds; }
