/* fuzz_entry.c - libFuzzer's entry to the target FUZZ_TARGET. */
#include "tests/fuzz/fuzz_list.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes) {
    FUZZ_TARGET(bytes, n_bytes);
    return 0;
}
