#include "core/memplan.h"

#include "core/alloc.h"
#include "core/region.h"

#include <stdlib.h>
#include <string.h>

#define PLANS   64 /* kinds of steps remembered */
#define FOREVER INT32_MAX

/* Time is the number of allocations so far: buffer i is born at i, and a use after c allocations keeps
 * it alive up to c - 1, so that only buffers allocated later may take its place. */
typedef struct entry {
    size_t bytes, offset; /* the planned place; while it is recorded, where it is now */
    int32_t death;
    int32_t released; /* while it is recorded */
    uint64_t history; /* hash of everything that happened before this allocation */
} entry;

typedef struct record {
    uint64_t key, last_used;
    entry *entries;
    int32_t count, capacity;
    size_t block_bytes;
    int solved, used;
} record;

struct fv_memplan {
    record records[PLANS];
    record *current;
    uint64_t clock, history;
    int32_t count;    /* allocations of this step */
    int32_t replayed; /* of them, those with a planned place */
    int replaying, fell_back, stale;
    fv_region memory;
    size_t end;  /* of the memory in use: what is recorded goes behind it */
    size_t live; /* of it, recorded and not released */
    size_t limit;
};

fv_status fv_memplan_create(fv_memplan **out) {
    *out = fv_calloc(1, sizeof **out);
    return *out ? FV_OK : FV_ERR_NOMEM;
}

void fv_memplan_destroy(fv_memplan *plan) {
    if (!plan) return;
    for (int i = 0; i < PLANS; i++) fv_free(plan->records[i].entries);
    fv_region_destroy(&plan->memory);
    fv_free(plan);
}

static void mix(fv_memplan *plan, uint64_t v) {
    plan->history = (plan->history ^ v) * 0x9E3779B97F4A7C15u;
    plan->history ^= plan->history >> 29;
}

static record *find_record(fv_memplan *plan, uint64_t key) {
    record *oldest = &plan->records[0];

    for (int i = 0; i < PLANS; i++) {
        record *r = &plan->records[i];
        if (r->used && r->key == key) return r;
        if (!r->used || (oldest->used && r->last_used < oldest->last_used)) oldest = r;
    }
    oldest->key = key;
    oldest->used = 1;
    oldest->solved = 0;
    return oldest;
}

static int larger_first(const void *pa, const void *pb) {
    const entry *a = *(const entry *const *)pa, *b = *(const entry *const *)pb;
    if (a->bytes != b->bytes) return a->bytes < b->bytes ? 1 : -1;
    return a < b ? -1 : a > b;
}

/* First fit: large buffers first, each at the lowest offset free during its whole life. */
static fv_status solve(record *r) {
    const int32_t n = r->count;
    entry **order = fv_alloc((size_t)n + 1, sizeof *order);
    entry **placed = fv_alloc((size_t)n + 1, sizeof *placed); /* by offset */
    fv_status status = order && placed ? FV_OK : FV_ERR_NOMEM;

    r->block_bytes = 0;
    for (int32_t i = 0; status == FV_OK && i < n; i++) order[i] = &r->entries[i];
    if (status == FV_OK) qsort(order, (size_t)n, sizeof *order, larger_first);
    for (int32_t i = 0; status == FV_OK && i < n; i++) {
        entry *e = order[i];
        const int32_t birth = (int32_t)(e - r->entries);
        size_t offset = 0;
        for (int32_t j = 0; j < i; j++) {
            const entry *p = placed[j];
            const int32_t p_birth = (int32_t)(p - r->entries);
            if (p_birth > e->death || birth > p->death) continue;
            if (p->offset >= offset + e->bytes) break;
            if (p->offset + p->bytes > offset) offset = p->offset + p->bytes;
        }
        e->offset = offset;
        int32_t at = i;
        while (at > 0 && placed[at - 1]->offset > offset) at--;
        memmove(placed + at + 1, placed + at, (size_t)(i - at) * sizeof *placed);
        placed[at] = e;
        if (offset + e->bytes > r->block_bytes) r->block_bytes = offset + e->bytes;
    }
    r->solved = status == FV_OK;
    fv_free(order);
    fv_free(placed);
    return status;
}

/* Of the largest plan. */
static size_t planned_bytes(const fv_memplan *plan) {
    size_t bytes = 0;

    for (int i = 0; i < PLANS; i++) {
        const record *r = &plan->records[i];
        if (r->used && r->solved && r->block_bytes > bytes) bytes = r->block_bytes;
    }
    return bytes;
}

/* Solves the step that has just been recorded, unless it failed, and gives back what plans do not need.
 * Running out of memory here only means that the next step records again. */
static void finish_recording(fv_memplan *plan) {
    record *r = plan->current;

    if (!r || plan->replaying || r->solved) return;
    if (!plan->fell_back && r->count > 0) (void)solve(r);
    fv_region_trim(&plan->memory, planned_bytes(plan));
}

static int within_limit(const fv_memplan *plan, size_t bytes) {
    return !plan->limit || fv_alloc_bytes() + bytes <= plan->limit;
}

int fv_memplan_fits(fv_memplan *plan) {
    record *r = plan->current;

    finish_recording(plan);
    if (!r || !r->solved || within_limit(plan, r->block_bytes)) return 1;
    r->solved = 0;
    r->count = 0;
    fv_region_trim(&plan->memory, planned_bytes(plan));
    return 0;
}

void fv_memplan_begin(fv_memplan *plan, uint64_t key) {
    finish_recording(plan);
    record *r = find_record(plan, key);
    r->last_used = ++plan->clock;
    plan->current = r;
    plan->count = plan->replayed = 0;
    plan->history = 0;
    plan->fell_back = plan->stale = 0;
    plan->end = plan->live = 0;
    plan->replaying = r->solved && fv_region_reach(&plan->memory, r->block_bytes) == FV_OK;
    if (!plan->replaying) {
        r->count = 0;
        r->solved = 0;
    }
}

/* From here on the step differs from its record: what is in the block stays valid, because only later
 * allocations of the record could have taken its place, and what follows goes behind it.  The next step
 * of this key records from its start. */
static void fall_back(fv_memplan *plan) {
    plan->replaying = 0;
    plan->fell_back = 1;
    plan->current->count = plan->count;
    plan->current->solved = 0;
    plan->end = plan->live = plan->current->block_bytes;
}

static int append(record *r, size_t bytes, size_t offset, uint64_t history) {
    if (r->count == r->capacity) {
        const int32_t capacity = r->capacity ? 2 * r->capacity : 256;
        entry *grown = fv_realloc(r->entries, (size_t)capacity, sizeof *grown);
        if (!grown) return 0;
        r->entries = grown;
        r->capacity = capacity;
    }
    r->entries[r->count] =
        (entry){.bytes = bytes, .offset = offset, .death = r->count, .history = history};
    r->count++;
    return 1;
}

void fv_memplan_set_limit(fv_memplan *plan, size_t bytes) { plan->limit = bytes; }

static void fail_over_limit(const fv_memplan *plan) {
    const size_t others = fv_alloc_bytes();
    FV_FAIL(FV_ERR_NOMEM, "activations need more than the %zu MB left to them",
            plan->limit > others ? (plan->limit - others) >> 20 : 0);
}

void *fv_memplan_alloc(fv_memplan *plan, size_t bytes, int32_t *id) {
    record *r = plan->current;

    bytes = bytes ? (bytes + FV_ALIGN - 1) / FV_ALIGN * FV_ALIGN : FV_ALIGN;
    *id = plan->count;
    mix(plan, bytes);
    if (plan->replaying) {
        const int32_t i = plan->count;
        if (i < r->count && r->entries[i].bytes == bytes &&
            r->entries[i].history == plan->history) {
            plan->replayed = ++plan->count;
            return plan->memory.base + r->entries[i].offset;
        }
        fall_back(plan);
    }
    const size_t offset = plan->end;
    if (!within_limit(plan, plan->live + bytes)) {
        fail_over_limit(plan);
        return NULL;
    }
    if (bytes > SIZE_MAX - offset || fv_region_reach(&plan->memory, offset + bytes) != FV_OK ||
        !append(r, bytes, offset, plan->history))
        return NULL;
    plan->end += bytes;
    plan->live += bytes;
    plan->count++;
    return plan->memory.base + offset;
}

/* A planned buffer keeps its place up to its recorded death only. */
static void check_alive(fv_memplan *plan, int32_t id) {
    const entry *e = &plan->current->entries[id];

    if (id < plan->replayed ? e->death < plan->replayed - 1 : e->released) plan->stale = 1;
}

void fv_memplan_use(fv_memplan *plan, int32_t id) {
    if (id < 0) return;
    mix(plan, (uint64_t)id + 1);
    check_alive(plan, id);
    if (!plan->replaying && plan->current->entries[id].death < plan->count - 1)
        plan->current->entries[id].death = plan->count - 1;
}

void fv_memplan_keep(fv_memplan *plan, int32_t id) {
    if (id < 0) return;
    mix(plan, ((uint64_t)id + 1) << 32);
    check_alive(plan, id);
    if (!plan->replaying) plan->current->entries[id].death = FOREVER;
}

void fv_memplan_release(fv_memplan *plan, int32_t id) {
    if (id < plan->replayed) return; /* -1, or with a planned place */
    entry *e = &plan->current->entries[id];
    if (e->death == FOREVER || e->released) return;
    e->released = 1;
    plan->live -= e->bytes;
    fv_region_discard(&plan->memory, e->offset, e->bytes);
}

void fv_memplan_event(fv_memplan *plan, uint64_t what) { mix(plan, what); }

void fv_memplan_abandon(fv_memplan *plan) {
    if (!plan->replaying) plan->fell_back = 1;
}

int fv_memplan_replaying(const fv_memplan *plan) { return plan->replaying; }

int fv_memplan_stale(const fv_memplan *plan) { return plan->stale; }

size_t fv_memplan_bytes(const fv_memplan *plan) {
    const size_t planned = planned_bytes(plan);
    return plan->end > planned ? plan->end : planned;
}
