#include "train/mem_limit.h"

#include <ctype.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Powers of two; -1: no unit. */
static int unit_shift(const char *unit) {
    static const char letters[] = "kmgt";

    if (!unit[0]) return 20;
    const char *at = strchr(letters, tolower((unsigned char)unit[0]));
    const char *rest = unit + 1;
    if (!at || (*rest && strcasecmp(rest, "b") != 0 && strcasecmp(rest, "ib") != 0)) return -1;
    return 10 * (int)(at - letters + 1);
}

fv_status fv_mem_limit_parse(const char *text, size_t *bytes) {
    char *unit = NULL;

    *bytes = 0;
    if (!text[0]) return FV_OK;
    const double n = strtod(text, &unit);
    while (*unit == ' ') unit++;
    const int shift = unit == text ? -1 : unit_shift(unit);
    const double wanted = shift < 0 ? -1.0 : n * (double)((uint64_t)1 << shift);
    if (!(wanted >= 1.0 && wanted < 1e18))
        return FV_FAIL(FV_ERR_CONFIG, "--mem-limit '%s': write it as 8G or 500M", text);
    *bytes = (size_t)wanted;
    return FV_OK;
}
