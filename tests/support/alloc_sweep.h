/* alloc_sweep.h - makes each allocation of a piece of work fail in turn. */
#ifndef FV_TESTS_SUPPORT_ALLOC_SWEEP_H
#define FV_TESTS_SUPPORT_ALLOC_SWEEP_H

#include "core/status.h"

#include <stdint.h>

/* Does the work and frees whatever it made, also when it fails. */
typedef fv_status alloc_sweep_fn(void *arg);

typedef struct alloc_sweep_result {
    uint64_t failures;  /* allocations that failed, one per run */
    uint64_t tolerated; /* of them, those the work did without (a cache, a plan) */
} alloc_sweep_result;

/* Runs work(arg) with its first, second ... allocation failing, up to the run that makes fewer.  FV_OK
 * when every run with a failure ended in FV_ERR_NOMEM (or was tolerated), the last one in FV_OK, and
 * nothing has leaked (seen under LeakSanitizer); else FV_ERR_INTERNAL, and the message names the
 * allocation.  result may be NULL. */
fv_status alloc_sweep(alloc_sweep_fn *work, void *arg, alloc_sweep_result *result);

#endif
