#include "core/safetensors.h"

#include "core/alloc.h"
#include "core/file.h"

#include <criterion/criterion.h>

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static char root[64], path[128];

static void enter(void) {
    strcpy(root, "/tmp/fovea_st_XXXXXX");
    cr_assert_not_null(mkdtemp(root));
    snprintf(path, sizeof path, "%s/a.safetensors", root);
}

static void leave(void) {
    fv_alloc_fail_at(0);
    fv_folder_remove(root);
}

TestSuite(core_safetensors, .init = enter, .fini = leave);

static float f32[6] = {1.0f, -2.5f, 0.0f, 3e38f, -1e-40f, 7.0f};
static fv_bf16 bf16[3] = {0x3f80, 0xc020, 0x7f80};
static double f64[2] = {0.1, -1e300};
static int32_t i32[2] = {INT32_MIN, 5};
static int64_t i64[1] = {-7};
static uint8_t u8[3] = {0, 128, 255};

/* One of each type; the U8 tensor stands first so that the writer has something to reorder. */
#define N_ITEMS 7
static const fv_safetensors_item items[N_ITEMS] = {
    {"bytes", {u8, FV_U8, {1, {3}}}},
    {"weight", {f32, FV_F32, {2, {2, 3}}}},
    {"half \"quoted\"", {bf16, FV_BF16, {1, {3}}}},
    {"table", {f64, FV_F64, {2, {1, 2}}}},
    {"index", {i32, FV_I32, {1, {2}}}},
    {"count", {i64, FV_I64, {0, {0}}}},
    {"empty", {f32, FV_F32, {2, {0, 4}}}},
};
static const fv_safetensors_meta meta[] = {{"arch", "mini"}, {"note", "ein \xc3\xa4"}};

static fv_status save(void) { return fv_safetensors_save(path, items, N_ITEMS, meta, 2); }

/* 8 bytes of length, the header, n_data zero bytes; returns the total. */
static size_t frame(const char *header, size_t n_data, uint8_t *out) {
    const uint64_t length = strlen(header);
    memcpy(out, &length, 8);
    memcpy(out + 8, header, length);
    memset(out + 8 + length, 0, n_data);
    return 8 + length + n_data;
}

static fv_status open_text(const char *header, size_t n_data) {
    static uint8_t bytes[65536];
    fv_safetensors *st = NULL;

    cr_assert(strlen(header) + n_data + 8 < sizeof bytes);
    /* A copy of exact size, so that the sanitizer sees a read behind it. */
    const size_t n = frame(header, n_data, bytes);
    uint8_t *exact = malloc(n);
    memcpy(exact, bytes, n);
    const fv_status status = fv_safetensors_open_bytes(exact, n, "file.st", &st);
    cr_assert_eq(st != NULL, status == FV_OK);
    fv_safetensors_close(st);
    free(exact);
    return status;
}

Test(core_safetensors, round_trip_of_every_type) {
    fv_arena arena = {0};
    fv_safetensors *st = NULL;

    cr_assert_eq(save(), FV_OK, "%s", fv_error_message());
    cr_assert_eq(fv_safetensors_open(path, &st), FV_OK, "%s", fv_error_message());
    cr_assert_eq(fv_safetensors_count(st), N_ITEMS);
    for (int i = 0; i < N_ITEMS; i++) {
        fv_tensor t;
        cr_assert_eq(fv_safetensors_load(st, items[i].name, &arena, &t), FV_OK, "%s",
                     fv_error_message());
        cr_assert_eq(t.dtype, items[i].tensor.dtype);
        cr_assert(fv_shape_equal(&t.shape, &items[i].tensor.shape));
        cr_assert_eq(memcmp(t.data, items[i].tensor.data, fv_tensor_bytes(&t)), 0, "%s",
                     items[i].name);
    }
    cr_assert_str_eq(fv_safetensors_metadata(st, "format"), "pt");
    cr_assert_str_eq(fv_safetensors_metadata(st, "note"), "ein \xc3\xa4");
    cr_assert_null(fv_safetensors_metadata(st, "absent"));
    cr_assert_eq(fv_safetensors_metadata_map(st)->count, 3);
    cr_assert_null(fv_safetensors_find(st, "absent"));
    fv_safetensors_close(st);
    fv_arena_destroy(&arena);
}

Test(core_safetensors, every_tensor_is_aligned_and_order_is_kept) {
    fv_safetensors *st = NULL;
    const char *expected[N_ITEMS] = {"table", "count",           "weight", "index",
                                     "empty", "half \"quoted\"", "bytes"};

    cr_assert_eq(save(), FV_OK);
    cr_assert_eq(fv_safetensors_open(path, &st), FV_OK);
    for (int i = 0; i < N_ITEMS; i++) {
        const fv_safetensors_entry *e = fv_safetensors_at(st, i);
        cr_assert_eq(e->offset % fv_dtype_bytes(e->dtype), 0, "%s", e->name);
        cr_assert_str_eq(e->name, expected[i]);
    }
    fv_safetensors_close(st);
}

Test(core_safetensors, equal_arguments_give_equal_bytes) {
    uint8_t *a, *b;
    size_t n_a, n_b;

    cr_assert_eq(save(), FV_OK);
    cr_assert_eq(fv_file_read(path, 1 << 20, &a, &n_a), FV_OK);
    cr_assert_eq(save(), FV_OK);
    cr_assert_eq(fv_file_read(path, 1 << 20, &b, &n_b), FV_OK);
    cr_assert(n_a == n_b && memcmp(a, b, n_a) == 0);
    uint64_t length;
    memcpy(&length, a, 8);
    cr_assert_eq(length % 8, 0);
    cr_assert_not_null(memmem(a, n_a, "{\"__metadata__\":{\"format\":\"pt\",\"arch\"", 37));
    fv_free(a);
    fv_free(b);
}

Test(core_safetensors, converts_to_f32_and_i64) {
    /* 1.5, -0.0, largest subnormal, smallest, -inf, NaN, 65504 as half precision */
    const uint16_t half[7] = {0x3e00, 0x8000, 0x03ff, 0x0001, 0xfc00, 0x7e01, 0x7bff};
    uint8_t bytes[256];
    float out[7];
    int64_t ints[3];
    fv_safetensors *st = NULL;

    size_t n =
        frame("{\"h\":{\"dtype\":\"F16\",\"shape\":[7],\"data_offsets\":[0,14]}}", 14, bytes);
    memcpy(bytes + n - 14, half, 14);
    cr_assert_eq(fv_safetensors_open_bytes(bytes, n, "m", &st), FV_OK, "%s", fv_error_message());
    cr_assert_eq(fv_safetensors_read_f32(st, fv_safetensors_at(st, 0), out), FV_OK);
    cr_assert(out[0] == 1.5f && out[1] == 0.0f && signbit(out[1]) && out[4] == -INFINITY);
    cr_assert(out[2] == 1023.0f * 0x1p-24f && out[3] == 0x1p-24f && out[6] == 65504.0f);
    cr_assert(isnan(out[5]));
    cr_assert_eq(fv_safetensors_read_i64(st, fv_safetensors_at(st, 0), ints), FV_ERR_UNSUPPORTED);
    fv_safetensors_close(st);

    cr_assert_eq(save(), FV_OK);
    cr_assert_eq(fv_safetensors_open(path, &st), FV_OK);
    cr_assert_eq(fv_safetensors_read_f32(st, fv_safetensors_find(st, "table"), out), FV_OK);
    cr_assert(out[0] == 0.1f && out[1] == -INFINITY);
    cr_assert_eq(fv_safetensors_read_f32(st, fv_safetensors_find(st, "half \"quoted\""), out),
                 FV_OK);
    cr_assert(out[0] == 1.0f && out[1] == -2.5f && out[2] == INFINITY);
    cr_assert_eq(fv_safetensors_read_i64(st, fv_safetensors_find(st, "bytes"), ints), FV_OK);
    cr_assert(ints[0] == 0 && ints[1] == 128 && ints[2] == 255);
    cr_assert_eq(fv_safetensors_read_i64(st, fv_safetensors_find(st, "index"), ints), FV_OK);
    cr_assert(ints[0] == INT32_MIN && ints[1] == 5);
    cr_assert_eq(fv_safetensors_read_f32(st, fv_safetensors_find(st, "index"), out),
                 FV_ERR_UNSUPPORTED);
    cr_assert_not_null(strstr(fv_error_message(), "'index'"), "%s", fv_error_message());
    fv_safetensors_close(st);
}

/* Longer than one conversion chunk, with a tail. */
Test(core_safetensors, converts_long_tensors) {
    enum { N = 20001 };
    static double values[N];
    static float out[N];
    fv_safetensors *st = NULL;
    const fv_safetensors_item item = {"x", {values, FV_F64, {1, {N}}}};

    for (int i = 0; i < N; i++) values[i] = i;
    cr_assert_eq(fv_safetensors_save(path, &item, 1, NULL, 0), FV_OK);
    cr_assert_eq(fv_safetensors_open(path, &st), FV_OK);
    cr_assert_eq(fv_safetensors_read_f32(st, fv_safetensors_at(st, 0), out), FV_OK);
    for (int i = 0; i < N; i++) cr_assert_eq(out[i], (float)i);
    fv_safetensors_close(st);
}

#define T(dtype, shape, offsets) \
    "{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"

Test(core_safetensors, accepts_what_is_legal) {
    static const struct {
        const char *header;
        size_t n_data;
    } good[] = {
        {"{}", 0},
        {"{}   ", 0},
        {"{\"a\":" T("F32", "[]", "[0,4]") "}", 4},
        {"{\"a\":" T("F32", "[0]", "[0,0]") "}", 0},
        {"{\"b\":" T("F32", "[1]", "[4,8]") ",\"a\":" T("U8", "[4]", "[0,4]") "}", 8},
        {"{\"__metadata__\":{},\"a\":" T("I64", "[1,1,1,1,1,1]", "[0,8]") "}", 8},
        {"{\"a\":" T("U8", "[0]", "[1,1]") ",\"b\":" T("U8", "[1]", "[0,1]") "}", 1},
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        cr_assert_eq(open_text(good[i].header, good[i].n_data), FV_OK, "%s: %s", good[i].header,
                     fv_error_message());
}

Test(core_safetensors, refuses_malformed_headers) {
    static const struct {
        const char *header;
        size_t n_data;
    } bad[] = {
        {"", 0},
        {" {}", 0},
        {"[]", 0},
        {"null", 0},
        {"{", 0},
        {"{}x", 0},
        {"{}", 1}, /* bytes nobody owns */
        {"{\"a\":1}", 0},
        {"{\"a\":{}}", 0},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4},
        {"{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4},
        {"{\"a\":{\"shape\":[1],\"data_offsets\":[0,4]}}", 4},
        {"{\"a\":{\"dtype\":4,\"shape\":[1],\"data_offsets\":[0,4]}}", 4},
        {"{\"a\":" T("F32", "[1]", "[0,4]") ",\"a\":" T("F32", "[1]", "[4,8]") "}", 8},
        {"{\"a\":" T("F32", "[1]", "[0,8]") "}", 8},  /* too long for its shape */
        {"{\"a\":" T("F32", "[2]", "[0,4]") "}", 4},  /* too short */
        {"{\"a\":" T("F32", "[1]", "[0,4]") "}", 3},  /* past the end */
        {"{\"a\":" T("F32", "[1]", "[0,4]") "}", 5},  /* bytes behind */
        {"{\"a\":" T("F32", "[1]", "[4,8]") "}", 8},  /* gap in front */
        {"{\"a\":" T("F32", "[1]", "[4,0]") "}", 8},  /* backwards */
        {"{\"a\":" T("F32", "[1]", "[-4,0]") "}", 8}, /* negative */
        {"{\"a\":" T("F32", "[-1]", "[0,4]") "}", 4},
        {"{\"a\":" T("F32", "[1.0]", "[0,4]") "}", 4},
        {"{\"a\":" T("F32", "[true]", "[0,4]") "}", 4},
        {"{\"a\":" T("F32", "4", "[0,4]") "}", 4},
        {"{\"a\":" T("F32", "{\"x\":1}", "[0,4]") "}", 4},
        {"{\"a\":" T("F32", "[1]", "[0]") "}", 4},
        {"{\"a\":" T("F32", "[1]", "[0,4,8]") "}", 8},
        {"{\"a\":" T("F32", "[1]", "[0,\"4\"]") "}", 4},
        {"{\"a\":" T("F32", "[1]", "{\"x\":0,\"y\":4}") "}", 4},
        {"{\"a\":" T("F32", "[1]", "[0,4.5]") "}", 4},
        {"{\"a\":" T("F32", "[4294967296,4294967296]", "[0,0]") "}", 0}, /* 2^64 */
        {"{\"a\":" T("F32", "[4611686018427387904]", "[0,0]") "}", 0},   /* 2^62 * 4 */
        {"{\"a\":" T("U8", "[9223372036854775807]", "[0,9223372036854775807]") "}", 0},
        {"{\"a\":" T("U8", "[9223372036854775808]", "[0,9223372036854775808]") "}", 0},
        {"{\"a\":" T("U8", "[1]", "[18446744073709551615,18446744073709551616]") "}", 1},
        {"{\"a\":" T("F32", "[1]", "[0,4]") ",\"b\":" T("F32", "[1]", "[2,6]") "}", 6},
        {"{\"a\":" T("F32", "[1]", "[0,4]") ",\"b\":" T("F32", "[1]", "[0,4]") "}", 4},
        {"{\"a\":" T("F32", "[1]", "[0,4]") ",\"b\":" T("F32", "[1]", "[5,9]") "}", 9},
        {"{\"a\":" T("U8", "[0]", "[1,1]") ",\"b\":" T("U8", "[2]", "[0,2]") "}", 2},
        {"{\"__metadata__\":{\"k\":1}}", 0},
        {"{\"__metadata__\":{\"k\":null}}", 0},
        {"{\"__metadata__\":{\"k\":[\"v\"]}}", 0},
        {"{\"__metadata__\":[]}", 0},
        {"{\"__metadata__\":null}", 0},
        {"{\"__metadata__\":\"pt\"}", 0},
        {"{\"\xff\":" T("F32", "[1]", "[0,4]") "}", 4}, /* not UTF-8 */
        {"{\"a\\u0000\":" T("F32", "[1]", "[0,4]") "}", 4},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        fv_error_clear();
        cr_assert_eq(open_text(bad[i].header, bad[i].n_data), FV_ERR_FORMAT, "%zu: %s", i,
                     bad[i].header);
        cr_assert_not_null(strstr(fv_error_message(), "file.st"), "%s: %s", bad[i].header,
                           fv_error_message());
    }
}

Test(core_safetensors, names_what_it_does_not_support) {
    static const char *const headers[] = {
        "{\"odd\":" T("F8_E4M3", "[1]", "[0,1]") "}",
        "{\"odd\":" T("BOOL", "[1]", "[0,1]") "}",
        "{\"odd\":" T("", "[1]", "[0,1]") "}",
        "{\"odd\":" T("U8", "[1,1,1,1,1,1,1]", "[0,1]") "}",
    };
    for (size_t i = 0; i < 4; i++) {
        cr_assert_eq(open_text(headers[i], 1), FV_ERR_UNSUPPORTED, "%s", headers[i]);
        cr_assert_not_null(strstr(fv_error_message(), "file.st: tensor 'odd'"), "%s",
                           fv_error_message());
    }
}

Test(core_safetensors, messages_show_no_control_characters) {
    cr_assert_eq(open_text("{\"a\\u001b[2J\\n\":1}", 0), FV_ERR_FORMAT);
    cr_assert_null(strchr(fv_error_message(), '\x1b'));
    cr_assert_null(strchr(fv_error_message(), '\n'));
}

Test(core_safetensors, deep_nesting_is_an_error) {
    static char header[40000];
    memset(header, '[', sizeof header - 1);
    memcpy(header, "{\"a\":", 5);
    cr_assert_eq(open_text(header, 0), FV_ERR_FORMAT);
}

Test(core_safetensors, header_length_is_checked_before_use) {
    uint8_t bytes[16] = {0};
    fv_safetensors *st = NULL;
    static const uint64_t lengths[] = {9, 100000001, INT64_MAX, UINT64_MAX, UINT64_MAX - 7};

    for (size_t i = 0; i < 5; i++) {
        memcpy(bytes, &lengths[i], 8);
        cr_assert_eq(fv_safetensors_open_bytes(bytes, 16, "x", &st), FV_ERR_FORMAT);
        cr_assert_null(st);
    }
}

Test(core_safetensors, truncated_anywhere) {
    uint8_t *bytes;
    size_t n;
    fv_safetensors *st = NULL;

    cr_assert_eq(save(), FV_OK);
    cr_assert_eq(fv_file_read(path, 1 << 20, &bytes, &n), FV_OK);
    for (size_t cut = 0; cut < n; cut++) {
        uint8_t *exact = malloc(cut ? cut : 1);
        memcpy(exact, bytes, cut);
        cr_assert_eq(fv_safetensors_open_bytes(exact, cut, "x", &st), FV_ERR_FORMAT, "at %zu", cut);
        cr_assert_null(st);
        free(exact);
        if (cut % 50) continue;
        cr_assert_eq(truncate(path, (off_t)(n - cut - 1)), 0);
        cr_assert_eq(fv_safetensors_open(path, &st), FV_ERR_FORMAT);
    }
    fv_free(bytes);
}

Test(core_safetensors, every_flipped_byte_is_an_error_or_a_valid_file) {
    uint8_t *bytes;
    size_t n;

    cr_assert_eq(save(), FV_OK);
    cr_assert_eq(fv_file_read(path, 1 << 20, &bytes, &n), FV_OK);
    for (size_t i = 0; i < n * 8; i++) {
        fv_safetensors *st = NULL;
        bytes[i / 8] ^= (uint8_t)(1u << i % 8);
        fv_safetensors_open_bytes(bytes, n, "x", &st);
        for (int64_t k = 0; st && k < fv_safetensors_count(st); k++) {
            const fv_safetensors_entry *e = fv_safetensors_at(st, k);
            cr_assert_leq(e->offset + e->bytes, n);
        }
        fv_safetensors_close(st);
        bytes[i / 8] ^= (uint8_t)(1u << i % 8);
    }
    fv_free(bytes);
}

Test(core_safetensors, a_file_that_shrinks_while_open) {
    float out[6];
    fv_safetensors *st = NULL;

    cr_assert_eq(save(), FV_OK);
    cr_assert_eq(fv_safetensors_open(path, &st), FV_OK);
    cr_assert_eq(truncate(path, 100), 0);
    cr_assert_eq(fv_safetensors_read(st, fv_safetensors_find(st, "weight"), out), FV_ERR_IO);
    fv_safetensors_close(st);
}

Test(core_safetensors, what_is_no_file) {
    fv_safetensors *st = NULL;
    char pipe[160];

    cr_assert_eq(fv_safetensors_open(path, &st), FV_ERR_NOT_FOUND);
    cr_assert_not_null(strstr(fv_error_message(), path));
    cr_assert_eq(fv_safetensors_open(root, &st), FV_ERR_FORMAT);
    snprintf(pipe, sizeof pipe, "%s/pipe", root);
    cr_assert_eq(mkfifo(pipe, 0600), 0);
    cr_assert_eq(fv_safetensors_open(pipe, &st), FV_ERR_FORMAT, "and does not wait");
    cr_assert_null(st);
}

Test(core_safetensors, the_n_th_allocation_fails) {
    fv_safetensors *st = NULL;
    int failures = 0;

    for (uint64_t n = 1;; n++) {
        fv_alloc_fail_at(n);
        const fv_status status = save();
        fv_alloc_fail_at(0);
        if (status == FV_OK) break;
        cr_assert_eq(status, FV_ERR_NOMEM);
        failures++;
    }
    cr_assert_gt(failures, 0);
    for (uint64_t n = 1;; n++) {
        fv_alloc_fail_at(n);
        const fv_status status = fv_safetensors_open(path, &st);
        fv_alloc_fail_at(0);
        if (status == FV_OK) break;
        cr_assert_eq(status, FV_ERR_NOMEM);
        cr_assert_null(st);
        failures++;
    }
    cr_assert_gt(failures, 3);
    fv_safetensors_close(st);
}

static void assert_old_file(const uint8_t *old, size_t n_old) {
    uint8_t *now;
    size_t n_now;
    fv_names names;

    cr_assert_eq(fv_file_read(path, 1 << 20, &now, &n_now), FV_OK);
    cr_assert(n_now == n_old && memcmp(now, old, n_old) == 0);
    fv_free(now);
    cr_assert_eq(fv_folder_list(root, &names), FV_OK);
    cr_assert_eq(names.count, 1, "no temporary file stays");
    fv_names_free(&names);
}

/* A limit on the size of files stands for a disk that fills up after so many bytes. */
Test(core_safetensors, full_disk_leaves_the_old_file) {
    static float values[3000];
    const fv_safetensors_item item = {"x", {values, FV_F32, {1, {3000}}}};
    struct rlimit limit;
    uint8_t *old;
    size_t n_old;

    cr_assert_eq(save(), FV_OK);
    cr_assert_eq(fv_file_read(path, 1 << 20, &old, &n_old), FV_OK);
    signal(SIGXFSZ, SIG_IGN);
    cr_assert_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
    const rlim_t unlimited = limit.rlim_cur;
    for (rlim_t bytes = 0; bytes < 12000; bytes += 997) {
        limit.rlim_cur = bytes;
        cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
        const fv_status status = fv_safetensors_save(path, &item, 1, NULL, 0);
        limit.rlim_cur = unlimited;
        cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
        cr_assert_eq(status, FV_ERR_IO);
        cr_assert_not_null(strstr(fv_error_message(), path));
        assert_old_file(old, n_old);
    }
    fv_free(old);
}

Test(core_safetensors, unwritable_places_are_io_errors) {
    char under[160];

    cr_assert_eq(save(), FV_OK);
    snprintf(under, sizeof under, "%s/b.safetensors", path); /* below a file: fails for root too */
    cr_assert_eq(fv_safetensors_save(under, items, N_ITEMS, NULL, 0), FV_ERR_IO);
    snprintf(under, sizeof under, "%s/absent/b.safetensors", root);
    cr_assert_eq(fv_safetensors_save(under, items, N_ITEMS, NULL, 0), FV_ERR_IO);
    cr_assert_eq(fv_safetensors_save(root, items, N_ITEMS, NULL, 0), FV_ERR_IO, "a folder");
}

Test(core_safetensors, a_leftover_of_a_kill_is_no_obstacle) {
    char temporary[160];
    fv_safetensors *st = NULL;

    snprintf(temporary, sizeof temporary, "%s.tmp", path);
    cr_assert_eq(fv_file_write(temporary, "half a file", 11), FV_OK);
    cr_assert_eq(save(), FV_OK);
    cr_assert_eq(fv_safetensors_open(path, &st), FV_OK);
    fv_safetensors_close(st);
    cr_assert_not(fv_file_exists(temporary));
}

Test(core_safetensors, a_name_twice_is_refused) {
    const fv_safetensors_item twice[2] = {items[0], items[0]};

    cr_assert_eq(fv_safetensors_save(path, twice, 2, NULL, 0), FV_ERR_INTERNAL);
    cr_assert_not(fv_file_exists(path));
}
