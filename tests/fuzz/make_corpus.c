/* make_corpus.c - writes the seeds of every corpus: small inputs of each kind, good and broken.
 *
 *     fovea-fuzz-corpus tests/fuzz/corpus
 *
 * Files a fuzzer has found lie beside them under other names. */
#include "core/file.h"
#include "core/option.h"
#include "tests/golden/images_generated.h"
#include "tests/support/tar_writer.h"

#include <stdio.h>
#include <string.h>

typedef struct seed {
    const char *target, *name, *text; /* 0-terminated; \1 to \3 before an index file choose it */
} seed;

static const seed texts[] = {
    {"json", "scalars", "[null, true, false, 0, -1, 9223372036854775807, 1.5e-300, \"\"]"},
    {"json", "nested", "{\"a\": {\"b\": [1, [2, [3]]]}, \"c\": []}"},
    {"json", "escapes", "\"\\u00e9\\n\\t\\\\\\\"\\/ \\ud83d\\ude00\""},
    {"json", "big_integer", "[9223372036854775808, -9223372036854775809, 1e308]"},
    {"json", "overflow", "[1e999]"},
    {"json", "duplicate_key", "{\"a\": 1, \"a\": 2}"},
    {"json", "bad_utf8", "\"\xff\xfe\""},
    {"json", "zero_in_string", "\"a\\u0000b\""},
    {"json", "trailing", "{} {}"},
    {"json", "unterminated", "{\"a\": [1, 2"},
    {"json", "state", "{\"epoch\": 3, \"step\": 1200, \"best\": 71.25, \"history\": [0.5, 0.25]}"},

    {"yaml", "scalars", "[~, true, 0o17, 0xff, -3, 1e-3, .inf, -.inf, .nan, 'a', \"b\\n\", yes]"},
    {"yaml", "blocks",
     "a:\n  - 1\n  - b: {c: d}\n    e: |\n      two\n      lines\nf: >-\n  g\n  h\n"},
    {"yaml", "alias", "base: &x {lr: 0.1, k: [1, 2]}\nother: *x\n"},
    {"yaml", "alias_bomb",
     "a: &a [0,0,0,0,0,0,0,0,0]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\n"
     "c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\n"
     "e: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e,*e]\n"},
    {"yaml", "alias_of_itself", "a: &a [*a]\n"},
    {"yaml", "quotes", "'it''s': \"\\x41\\u00e9\\0\"\n? b\n: c\n"},
    {"yaml", "tags", "!!str 12: !!int '3'\n"},
    {"yaml", "list_as_key", "? [a, b]\n: c\n"},
    {"yaml", "two_documents", "--- a\n--- b\n"},
    {"yaml", "duplicate_key", "a: 1\na: 2\n"},
    {"yaml", "tab", "a:\n\t- b\n"},
    {"yaml", "comment_only", "# nothing\n"},
    {"yaml", "bad_utf8", "a: \xc3\x28\n"},
    {"yaml", "deep",
     "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["},

    {"boxes", "good", "name,left,top,right,bottom\na/1.png,1,2,5,6\nb/2.png,0,0,1.5,2.5\n"},
    {"boxes", "twice", "name,left,top,right,bottom\na/1.png,1,2,5,6\na/1.png,2,2,5,6\n"},
    {"boxes", "unknown_name", "name,left,top,right,bottom\nc/9.png,1,2,5,6\n"},
    {"boxes", "too_few", "name,left,top,right,bottom\na/1.png,1,2,5\n"},
    {"boxes", "no_number", "name,left,top,right,bottom\na/1.png,1,2,x,6\n"},
    {"boxes", "not_finite", "name,left,top,right,bottom\na/1.png,nan,-inf,1e999,6\n"},
    {"boxes", "carriage_returns", "name,left,top,right,bottom\r\na/1.png,1,2,5,6\r\n"},
    {"boxes", "empty", ""},

    {"class_map", "names", "cat\nant\n"},
    {"class_map", "labels", "ant 1\nbee 2 0\n"},
    {"class_map", "blanks", "\n\t ant \r\n\n bee 2\t\r\n"},
    {"class_map", "number_in_name", "ant\nbee 2\n"},
    {"class_map", "name_twice", "ant\nant\n"},
    {"class_map", "label_twice", "ant 0\ncat 0\n"},
    {"class_map", "label_with_gap", "ant 0\ncat 2\n"},
    {"class_map", "label_huge", "ant 99999999999999999999\n"},
    {"class_map", "label_only", "7\n"},
    {"class_map", "unknown", "dog\n"},
    {"class_map", "empty", ""},

    {"subset", "names", "ant/1.png\nbee/1.png\n"},
    {"subset", "file_names", "2.png\r\n\n"},
    {"subset", "ambiguous", "1.png\n"},
    {"subset", "twice", "ant/2.png\n2.png\n"},
    {"subset", "unknown", "ant/9.png\n"},
    {"subset", "empty", "\n"},

    {"cifar", "names", "\3a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n\n"},
    {"cifar", "names_few", "\3a\nb\n"},
    {"cifar", "names_many", "\3a\nb\nc\nd\ne\nf\ng\nh\ni\nj\nk\n"},
    {"cifar", "names_twice", "\3a\na\nc\nd\ne\nf\ng\nh\ni\nj\n"},
    {"cifar", "ten_short", "\1abc"},
    {"cifar", "hundred_empty", "\2"},

    {"tiny_imagenet", "wnids", "\3n01\nn02\nn03\n"},
    {"tiny_imagenet", "wnids_missing", "\3n01\n"},
    {"tiny_imagenet", "wnids_twice", "\3n01\nn02\nn01\n"},
    {"tiny_imagenet", "annotations",
     "\1"
     "1.JPEG\tn01\t0\t0\t62\t57\n2.JPEG\tn02\n"},
    {"tiny_imagenet", "annotations_unknown",
     "\1"
     "1.JPEG\tn09\t0\t0\t62\t57\n"},
    {"tiny_imagenet", "annotations_missing_image",
     "\1"
     "9.JPEG\tn01\t0\t0\t62\t57\n"},
    {"tiny_imagenet", "annotations_escape", "\1../../../../etc/passwd\tn01\n"},
    {"tiny_imagenet", "annotations_bad_box",
     "\1"
     "1.JPEG\tn01\t0\t0\tx\t57\n"},
    {"tiny_imagenet", "class_boxes", "\2n01_0.JPEG\t0\t1\t62\t57\n\nn01_1.JPEG\t0\t1\t62\t57\n"},
    {"tiny_imagenet", "class_boxes_short", "\2n01_0.JPEG\t0\t1\t62\n"},
};

typedef struct command_seed {
    const char *target, *name;
    uint32_t commands;
    const char *text;
} command_seed;

static const command_seed command_texts[] = {
    {"settings", "train", FV_CMD_TRAIN,
     "model: vit_tiny_patch16_224\nmodel_kwargs: {depth: 2, num_heads: 3}\nlr: 1e-3\n"
     "opt_betas: [0.9, 0.95]\nscale: [0.2, 1]\nepochs: 7\nresume: auto\n"},
    {"settings", "groups", FV_CMD_EVERY,
     "attention:\n  kind: halo\n  halo: 3\npool: {kind: mean}\npos: {kind: sincos}\nout: ~\n"},
    {"settings", "eval", FV_CMD_EVAL, "data_dir: \"/tmp/a b\"\nbatch_size: 0x10\nuse_ema: true\n"},
    {"settings", "misspelt", FV_CMD_TRAIN, "weigth_decay: 0.1\n"},
    {"settings", "wrong_type", FV_CMD_TRAIN, "epochs: many\n"},
    {"settings", "out_of_range", FV_CMD_TRAIN, "smoothing: 1.5\nmean: [1, 2]\n"},
    {"settings", "not_for_this", FV_CMD_EVAL, "lr: 0.1\n"},
    {"settings", "list", FV_CMD_TRAIN, "[lr, 0.1]\n"},
    {"settings", "nobody", 0, "lr: 0.1\n"},
    {"option", "real", FV_CMD_TRAIN, "lr\n1e-3"},
    {"option", "kebab", FV_CMD_TRAIN, "batch-size\n64"},
    {"option", "dotted", FV_CMD_EVERY, "model_kwargs.stages.depth\n[2, 2, 6, 2]"},
    {"option", "group", FV_CMD_TRAIN, "attention\n{kind: halo, halo: 3}"},
    {"option", "reals", FV_CMD_TRAIN, "mean\n0.5,0.5,0.5"},
    {"option", "text", FV_CMD_TRAIN, "out\na: b # \xc3\xa9 \x1b[31m"},
    {"option", "choice", FV_CMD_TRAIN, "sched\nstep"},
    {"option", "unknown", FV_CMD_TRAIN, "learning-rate\n1"},
    {"option", "dots_only", FV_CMD_TRAIN, "model_kwargs..\n1"},
};

/* Headers of safetensors files, and the bytes of data behind them. */
static const struct {
    const char *name, *header;
    size_t n_data;
} safetensors[] = {
    {"empty", "{}", 0},
    {"two",
     "{\"a\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]},"
     "\"b\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[24,32]}}",
     32},
    {"every_type",
     "{\"a\":{\"dtype\":\"F64\",\"shape\":[1],\"data_offsets\":[0,8]},"
     "\"b\":{\"dtype\":\"F16\",\"shape\":[2],\"data_offsets\":[8,12]},"
     "\"c\":{\"dtype\":\"BF16\",\"shape\":[2],\"data_offsets\":[12,16]},"
     "\"d\":{\"dtype\":\"I32\",\"shape\":[1],\"data_offsets\":[16,20]},"
     "\"e\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[20,24]}}",
     24},
    {"metadata",
     "{\"__metadata__\":{\"format\":\"pt\",\"x\":\"\"},"
     "\"z\":{\"dtype\":\"U8\",\"shape\":[0,7],\"data_offsets\":[0,0]}}",
     0},
    {"metadata_number", "{\"__metadata__\":{\"format\":3}}", 0},
    {"overlap",
     "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
     "\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[2,6]}}",
     6},
    {"hole", "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}", 2},
    {"beyond", "{\"a\":{\"dtype\":\"U8\",\"shape\":[9],\"data_offsets\":[0,9]}}", 8},
    {"backwards", "{\"a\":{\"dtype\":\"U8\",\"shape\":[9],\"data_offsets\":[9,0]}}", 9},
    {"huge_shape",
     "{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296,4],"
     "\"data_offsets\":[0,0]}}",
     0},
    {"negative_shape", "{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", 4},
    {"rank_7", "{\"a\":{\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1,1],\"data_offsets\":[0,1]}}", 1},
    {"unknown_type", "{\"a\":{\"dtype\":\"F8_E4M3\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1},
    {"no_object", "[1,2,3]   ", 0},
    {"duplicate",
     "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
     "\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}",
     2},
};

static const char *root;

static int put(const char *target, const char *name, const void *bytes, size_t n_bytes) {
    char path[1024];

    snprintf(path, sizeof path, "%s/%s", root, target);
    if (fv_folder_create(path) == FV_OK) {
        snprintf(path, sizeof path, "%s/%s/%s", root, target, name);
        if (fv_file_write(path, bytes, n_bytes) == FV_OK) return 0;
    }
    fprintf(stderr, "%s\n", fv_error_message());
    return 1;
}

static int put_commands(const command_seed *s) {
    uint8_t bytes[1024] = {(uint8_t)s->commands, (uint8_t)(s->commands >> 8),
                           (uint8_t)(s->commands >> 16)};
    const size_t n = strlen(s->text);

    memcpy(bytes + 3, s->text, n);
    return put(s->target, s->name, bytes, n + 3);
}

static int put_safetensors(const char *name, size_t length, const char *header, size_t n_data) {
    uint8_t bytes[1024];
    const size_t n = strlen(header);

    for (int i = 0; i < 8; i++) bytes[i] = (uint8_t)((uint64_t)length >> (8 * i));
    memcpy(bytes + 8, header, n);
    for (size_t i = 0; i < n_data; i++) bytes[8 + n + i] = (uint8_t)(i * 37 + 1);
    return put("safetensors", name, bytes, 8 + n + n_data);
}

/* The pictures of the decoding tests, and of the first JPEG and PNG: cut short, with a changed
 * size in the header, and with an orientation. */
static int put_images(void) {
    int failed = 0;

    for (size_t i = 0; i < sizeof generated_files / sizeof *generated_files; i++) {
        const uint8_t *bytes = generated_files[i].bytes;
        const size_t n = generated_files[i].n_bytes;
        const char *name = generated_files[i].name;
        char cut[64];
        failed += put("image", name, bytes, n);
        if (strcmp(name, "jpeg_420") != 0 && strcmp(name, "png_rgb8") != 0) continue;
        snprintf(cut, sizeof cut, "%s_cut", name);
        failed += put("image", cut, bytes, n / 2);
    }
    static const uint8_t wide[] =
        "\x89PNG\r\n\x1a\n\0\0\0\rIHDR\x7f\xff\xff\xff\x7f\xff\xff\xff\x08\2\0\0\0";
    failed += put("image", "png_header_only", wide, sizeof wide - 1);
    failed += put("image", "gif", "GIF89a\1\0\1\0", 10);
    static const uint8_t turned[] = {0xFF, 0xD8, 0xFF, 0xE1, 0, 34, 'E', 'x', 'i', 'f',  0, 0, 'I',
                                     'I',  42,   0,    8,    0, 0,  0,   1,   0,   0x12, 1, 3, 0,
                                     1,    0,    0,    0,    6, 0,  0,   0,   0,   0,    0, 0};
    const size_t n = generated_files[0].n_bytes - 2;
    uint8_t exif[8192];
    if (sizeof turned + n > sizeof exif) return failed + 1;
    memcpy(exif, turned, sizeof turned);
    memcpy(exif + sizeof turned, generated_files[0].bytes + 2, n);
    failed += put("image", "jpeg_exif", exif, sizeof turned + n);
    return failed;
}

/* Two records each, good and with a label that does not exist. */
static int put_cifar(void) {
    static uint8_t bytes[1 + 2 * 3074];
    int failed = 0;

    for (size_t i = 1; i < sizeof bytes; i++) bytes[i] = (uint8_t)(i % 251);
    bytes[0] = 1;
    bytes[1] = bytes[1 + 3073] = 9;
    failed += put("cifar", "ten", bytes, 1 + 2 * 3073);
    failed += put("cifar", "ten_cut", bytes, 2 * 3073);
    bytes[1 + 3073] = 10;
    failed += put("cifar", "ten_bad_label", bytes, 1 + 2 * 3073);
    bytes[0] = 2;
    bytes[2] = bytes[2 + 3074] = 99;
    failed += put("cifar", "hundred", bytes, 1 + 2 * 3074);
    bytes[2] = 100;
    return failed + put("cifar", "hundred_bad_label", bytes, 1 + 2 * 3074);
}

static tar_writer tar;

static int put_tar(const char *name) {
    const int failed = put("tar", name, tar.bytes, tar.n);
    tar.n = 0;
    return failed;
}

static int put_tars(void) {
    static char name[300];
    const void *png = NULL;
    size_t n = 0;
    int failed = 0;

    for (size_t i = 0; i < sizeof generated_files / sizeof *generated_files; i++)
        if (strcmp(generated_files[i].name, "png_rgb8") == 0) {
            png = generated_files[i].bytes;
            n = generated_files[i].n_bytes;
        }
    tar_add(&tar, '5', "./ant/", "", 0);
    tar_add(&tar, '0', "./ant/1.png", png, n);
    tar_add(&tar, '0', "bee/2.png", png, n / 2);
    tar_end(&tar);
    failed += put("tar", "folders_cut", tar.bytes, 1024 + n / 2);
    failed += put_tar("folders");
    tar_add(&tar, '0', "1.png", png, n);
    tar_add_text(&tar, "1.cls", "3\n");
    failed += put_tar("labels");
    tar_add(&tar, '0', "1.png", png, n);
    tar_add_text(&tar, "1.cls", "three");
    failed += put_tar("label_no_number");
    tar_add(&tar, '0', "1.png", png, n);
    failed += put_tar("no_label");
    memset(name, 'n', sizeof name - 1);
    memcpy(name + 100, "/x.png", 7);
    tar_add(&tar, 'L', "././@LongLink", name, 107);
    tar_add(&tar, '0', "short", png, n);
    failed += put_tar("gnu_long_name");
    tar_add(&tar, 'x', "pax", "18 path=ant/1.png\n9 size=0\n", 27);
    tar_add(&tar, '0', "short", "", 0);
    failed += put_tar("pax");
    tar_add(&tar, 'x', "pax", "99 path=ant/1.png\n", 18);
    failed += put_tar("pax_length");
    tar_add(&tar, 'x', "pax", "28 size=9223372036854775807\n", 28);
    tar_add_text(&tar, "ant/1.png", "");
    failed += put_tar("pax_huge_size");
    tar_add_text(&tar, "ant/1.png", "");
    memset(tar.bytes + 124, 0xff, 12);
    tar_sign(&tar, 0);
    failed += put_tar("negative_size");
    tar_add_text(&tar, "ant/1.png", "");
    memcpy(tar.bytes + 124, "777777777777", 12);
    tar_sign(&tar, 0);
    failed += put_tar("huge_size");
    tar_add_text(&tar, "ant/1.png", "");
    tar.bytes[0] = 'b';
    failed += put_tar("checksum");
    tar_add(&tar, '2', "ant/1.png", "", 0);
    failed += put_tar("link");
    tar_end(&tar);
    return failed + put_tar("zeros");
}

int main(int argc, char **argv) {
    int failed = 0;

    if (argc != 2) {
        fprintf(stderr, "usage: fovea-fuzz-corpus FOLDER\n");
        return 2;
    }
    root = argv[1];
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        failed += put(texts[i].target, texts[i].name, texts[i].text, strlen(texts[i].text));
    for (size_t i = 0; i < sizeof command_texts / sizeof *command_texts; i++)
        failed += put_commands(&command_texts[i]);
    for (size_t i = 0; i < sizeof safetensors / sizeof *safetensors; i++)
        failed += put_safetensors(safetensors[i].name, strlen(safetensors[i].header),
                                  safetensors[i].header, safetensors[i].n_data);
    failed += put_safetensors("long_header", (size_t)1 << 40, "{}", 0);
    failed += put_safetensors("header_beyond_end", 100, "{}", 0);
    failed += put("safetensors", "seven_bytes", "\2\0\0\0\0\0\0", 7);
    failed += put_images();
    failed += put_cifar();
    failed += put_tars();
    return failed ? 1 : 0;
}
