/* mem_limit.h - what --mem-limit says. */
#ifndef FV_TRAIN_MEM_LIMIT_H
#define FV_TRAIN_MEM_LIMIT_H

#include "core/status.h"

#include <stddef.h>

/* "8G", "500M", "1.5 GiB": powers of 1024, K M G T with or without iB or B; a number alone is MB; "" is 0, no
 * limit.  FV_ERR_CONFIG for anything else. */
fv_status fv_mem_limit_parse(const char *text, size_t *bytes);

#endif
