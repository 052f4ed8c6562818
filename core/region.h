/* region.h - memory that grows in place: addresses are reserved at first, pages taken as they are
 * reached.  Growing moves nothing and gives no page back that the next use would have to clear again. */
#ifndef FV_CORE_REGION_H
#define FV_CORE_REGION_H

#include "core/status.h"

#include <stddef.h>

/* A zeroed struct is an empty region; the rest is the region's own. */
typedef struct fv_region {
    unsigned char *base; /* NULL before the first growth */
    size_t reserved;     /* addresses */
    size_t usable;       /* bytes that may be touched */
} fv_region;

/* Makes the first bytes usable; what is there stays.  Undefined contents where nothing was written.
 * FV_ERR_NOMEM leaves the region as it is.  Counts as one call of fv_alloc where it has to grow. */
fv_status fv_region_reach(fv_region *region, size_t bytes);

/* Returns the pages behind the first bytes to the system; their contents are lost. */
void fv_region_trim(fv_region *region, size_t bytes);

/* The same for whole pages within bytes from an offset on; they may be touched again. */
void fv_region_discard(fv_region *region, size_t offset, size_t bytes);

void fv_region_destroy(fv_region *region); /* leaves an empty region */

#endif
