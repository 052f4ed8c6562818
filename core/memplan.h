/* memplan.h - buffers of a step: recorded once, then replayed into fewer bytes.
 *
 * The first step of a kind puts each buffer behind the one before, in memory that grows but never moves
 * (region.h), and records when each is born and last used.  Then offsets are solved (first fit over
 * overlapping lifetimes, largest first), and the following steps replay in the same memory: allocation i
 * gets its planned place.  Every event is compared with the record; from the first difference on, the
 * step puts its buffers behind the plan's and is recorded again. */
#ifndef FV_CORE_MEMPLAN_H
#define FV_CORE_MEMPLAN_H

#include "core/status.h"

#include <stddef.h>
#include <stdint.h>

typedef struct fv_memplan fv_memplan;

fv_status fv_memplan_create(fv_memplan **out);
void fv_memplan_destroy(fv_memplan *plan);

/* Starts a step.  key tells kinds of steps apart (mode, shapes, watches); plans of the latest few keys
 * are kept.  All buffers of the previous step become invalid. */
void fv_memplan_begin(fv_memplan *plan, uint64_t key);

/* While a step is recorded, a buffer that takes the living ones and all that fv_alloc holds over so many
 * bytes counts as memory that has run out; 0: no limit. */
void fv_memplan_set_limit(fv_memplan *plan, size_t bytes);

/* Behind a step: solves it if it was recorded.  A plan takes more than what lived at once, for there are gaps: 0
 * when it is over the limit, and then it is forgotten and the step's buffers with it. */
int fv_memplan_fits(fv_memplan *plan);

/* A buffer, FV_ALIGN aligned, contents undefined; NULL when memory runs out.  *id names it. */
void *fv_memplan_alloc(fv_memplan *plan, size_t bytes, int32_t *id);

/* The buffer is read or written now: it must live at least until here. */
void fv_memplan_use(fv_memplan *plan, int32_t id);

/* The buffer lives until the next begin. */
void fv_memplan_keep(fv_memplan *plan, int32_t id);

/* The buffer is dead, unless it is kept: while a step is recorded its pages go back to the system.  A later
 * use makes the step stale. */
void fv_memplan_release(fv_memplan *plan, int32_t id);

/* A marker compared on replay, e.g. the op that is about to run. */
void fv_memplan_event(fv_memplan *plan, uint64_t what);

/* The step that is under way has not run to its end (a failure, a pass left out): if it is being
 * recorded, the lifetimes are too short, and the next step of its kind records again. */
void fv_memplan_abandon(fv_memplan *plan);

/* True when this step still follows its record. */
int fv_memplan_replaying(const fv_memplan *plan);

/* True when this step used a buffer after it was released, or after its record had given the place away (the
 * step went on longer than the recorded one): what it read is not what was written. */
int fv_memplan_stale(const fv_memplan *plan);

size_t fv_memplan_bytes(const fv_memplan *plan); /* held */

#endif
