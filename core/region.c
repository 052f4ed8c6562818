#include "core/region.h"

#include "core/alloc.h"

#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#define GROWTH      ((size_t)2 << 20) /* usable bytes come in steps of it */
#define MOST        ((size_t)1 << 40)
#define LEAST       ((size_t)1 << 24)
#define ROUND(n, m) (((n) + (m)-1) / (m) * (m))

/* Addresses cost nothing, unless they are limited (ulimit -v): then a region has a quarter of them at
 * most, for the rest of the program needs some too. */
static size_t most_addresses(void) {
    struct rlimit limit;

    if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return MOST;
    const size_t quarter = (size_t)limit.rlim_cur / 4;
    return quarter < MOST ? quarter - quarter % GROWTH : MOST;
}

static fv_status reserve(fv_region *r) {
    for (size_t bytes = most_addresses(); bytes >= LEAST; bytes /= 2) {
        void *p = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (p == MAP_FAILED) continue;
        r->base = p;
        r->reserved = bytes;
        return FV_OK;
    }
    return FV_FAIL(FV_ERR_NOMEM, "cannot reserve %zu bytes of addresses (ulimit -v?)", LEAST);
}

fv_status fv_region_reach(fv_region *r, size_t bytes) {
    if (bytes <= r->usable) return FV_OK;
    if (!fv_alloc_permitted()) return FV_FAIL(FV_ERR_NOMEM, "cannot allocate %zu bytes", bytes);
    if (!r->base) FV_TRY(reserve(r));
    const size_t usable = bytes <= r->reserved - GROWTH ? ROUND(bytes, GROWTH) : r->reserved;
    if (bytes > r->reserved || mprotect(r->base, usable, PROT_READ | PROT_WRITE) != 0)
        return FV_FAIL(FV_ERR_NOMEM, "cannot allocate %zu bytes", bytes);
    r->usable = usable;
    return FV_OK;
}

void fv_region_trim(fv_region *r, size_t bytes) {
    const size_t kept = ROUND(bytes, GROWTH);

    if (kept < r->usable) (void)madvise(r->base + kept, r->usable - kept, MADV_DONTNEED);
}

void fv_region_discard(fv_region *r, size_t offset, size_t bytes) {
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const size_t first = ROUND(offset, page), end = (offset + bytes) / page * page;

    if (end > first) (void)madvise(r->base + first, end - first, MADV_DONTNEED);
}

void fv_region_destroy(fv_region *r) {
    if (r->base) munmap(r->base, r->reserved);
    *r = (fv_region){0};
}
