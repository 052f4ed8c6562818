#include "train/mem_limit.h"

#include <criterion/criterion.h>
#include <stdint.h>

Test(train_mem_limit, reads_sizes) {
    static const struct {
        const char *text;
        size_t bytes;
    } cases[] = {{"", 0},
                 {"8G", (size_t)8 << 30},
                 {"8GiB", (size_t)8 << 30},
                 {"500M", (size_t)500 << 20},
                 {"500", (size_t)500 << 20},
                 {"1.5 gb", (size_t)3 << 29},
                 {"2T", (size_t)2 << 40},
                 {"64k", (size_t)64 << 10}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t bytes = 1;
        cr_assert_eq(fv_mem_limit_parse(cases[i].text, &bytes), FV_OK, "%s", cases[i].text);
        cr_assert_eq(bytes, cases[i].bytes, "%s: %zu", cases[i].text, bytes);
    }
}

Test(train_mem_limit, refuses_what_is_none) {
    static const char *const bad[] = {"G",     "8X",  "8Gi",   "-1G", "0",
                                      "1e30T", "nan", "eight", "8G x"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        size_t bytes = 1;
        cr_assert_eq(fv_mem_limit_parse(bad[i], &bytes), FV_ERR_CONFIG, "%s", bad[i]);
    }
}
