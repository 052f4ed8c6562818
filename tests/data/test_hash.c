#include "data/hash.h"

#include <criterion/criterion.h>

Test(data_hash, known_values_and_pieces) {
    fv_hash *hash = NULL;

    /* XXH3_64bits of nothing, from the specification. */
    cr_assert_eq(fv_hash_bytes("", 0), 0x2D06800538D394C2u);
    cr_assert_eq(fv_hash_create(&hash), FV_OK);
    fv_hash_update(hash, "abc", 3);
    fv_hash_update(hash, "", 0);
    fv_hash_u64(hash, 0x0807060504030201u);
    cr_expect_eq(fv_hash_value(hash), fv_hash_bytes("abc\1\2\3\4\5\6\7\10", 11));
    cr_expect_neq(fv_hash_value(hash), fv_hash_bytes("abc\1\2\3\4\5\6\7\7", 11));
    fv_hash_destroy(hash);
}
