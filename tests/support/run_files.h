/* run_files.h - compares the run folders of two trainings: every file byte for byte, wall times
 * (time_*, perf_*) aside. */
#ifndef FV_TESTS_RUN_FILES_H
#define FV_TESTS_RUN_FILES_H

#include <stdbool.h>

/* NULL when actual holds what expected holds, else what differs (valid until the next call).  extra:
 * actual may hold more checkpoints, which an interruption wrote. */
const char *run_difference(const char *expected, const char *actual, bool extra);

/* The same of two files. */
const char *run_file_difference(const char *expected, const char *actual);

/* cp -a and rm -rf. */
void run_copy(const char *from, const char *to);
void run_remove(const char *folder);

#endif
