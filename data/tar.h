/* tar.h - where the members of an uncompressed tar archive lie: ustar (POSIX.1-1988), with the long
 * names of pax (POSIX.1-2001) and of GNU tar.
 *
 * Only headers are read.  A library for archives hands out members one after the other; training reads
 * them in any order, so that what is needed of an archive are offsets. */
#ifndef FV_DATA_TAR_H
#define FV_DATA_TAR_H

#include "core/status.h"

#include <stdint.h>

#define FV_TAR_NAME_BYTES 4096 /* of a member's name, its end included */

typedef struct fv_tar_member {
    const char *name;     /* without "./" in front; valid during the call */
    int64_t offset, size; /* of its content in the archive; offset >= 512 */
} fv_tar_member;

/* Calls visit for every regular file in the order of the archive, until it fails.  Folders, links and
 * devices are passed over.  Errors name the path and the header's position: FV_ERR_NOT_FOUND,
 * FV_ERR_IO; FV_ERR_FORMAT: no tar, a wrong checksum or number, a member that ends behind the archive, a
 * name that is empty or too long; FV_ERR_UNSUPPORTED: sparse files; and what visit returns. */
fv_status fv_tar_each(const char *path, fv_status (*visit)(void *user, const fv_tar_member *member),
                      void *user);

#endif
