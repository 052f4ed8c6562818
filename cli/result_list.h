/* result_list.h - a list of results on stdout that may be longer than memory: with json one JSON array,
 * an entry a line, written as they come. */
#ifndef FV_CLI_RESULT_LIST_H
#define FV_CLI_RESULT_LIST_H

#include "core/value.h"

#include <stdbool.h>

typedef struct fv_result_list {
    bool json;
    int64_t count; /* entries so far */
} fv_result_list;

/* Without json nothing is written, entries are only counted. */
void fv_result_list_begin(fv_result_list *list, bool json);
fv_status fv_result_list_add(fv_result_list *list, const fv_value *entry);
void fv_result_list_end(fv_result_list *list); /* closes the array, also after a failure */

#endif
