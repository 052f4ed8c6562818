/* tar_writer.h - tar archives in memory, member by member, for tests. */
#ifndef FV_TESTS_SUPPORT_TAR_WRITER_H
#define FV_TESTS_SUPPORT_TAR_WRITER_H

#include <stddef.h>
#include <stdint.h>

/* A zeroed struct is an empty archive. */
typedef struct tar_writer {
    uint8_t bytes[1 << 17];
    size_t n;
} tar_writer;

/* Appends a member with a ustar header; type '0' file, '5' folder, 'x' pax header, 'L' long name ... */
void tar_add(tar_writer *tar, char type, const char *name, const void *bytes, size_t n_bytes);
void tar_add_text(tar_writer *tar, const char *name, const char *text); /* a file */

/* Sets the checksum of the header at an offset again, after it was changed. */
void tar_sign(tar_writer *tar, size_t offset);

void tar_end(tar_writer *tar); /* two empty blocks */

#endif
