/* fuzz_list.h - every parser of foreign bytes as a fuzz target.
 *
 * A target takes any bytes, frees what it makes, and aborts when a property is broken that must hold
 * whatever the input (fuzz.h).  One line here and a function fuzz_<name> make a target.  CTest
 * replays its corpus, corpus/<name>/; with FOVEA_FUZZ there is a libFuzzer program fuzz-<name>. */
#ifndef FV_TESTS_FUZZ_FUZZ_LIST_H
#define FV_TESTS_FUZZ_FUZZ_LIST_H

#include <stddef.h>
#include <stdint.h>

/* name, what its bytes are */
#define FV_FUZZ_LIST(X)                                                                      \
    X(boxes, "boxes.csv of an image folder")                                                 \
    X(cifar, "one byte that chooses the file, then class names or records")                  \
    X(class_map, "a file of --class-map")                                                    \
    X(image, "a JPEG, PNG, BMP, GIF, PNM, PSD or TGA")                                       \
    X(json, "a JSON text")                                                                   \
    X(option, "24 command bits, a key, a line feed, a value, as in --set key=value")         \
    X(safetensors, "a safetensors file")                                                     \
    X(settings, "24 command bits, then a configuration file")                                \
    X(subset, "a file of --subset")                                                          \
    X(tar, "a tar archive")                                                                  \
    X(tiny_imagenet, "one byte that chooses the index file, then wnids, annotations, boxes") \
    X(yaml, "a YAML text")

#define FV_X(name, what) void fuzz_##name(const uint8_t *bytes, size_t n_bytes);
FV_FUZZ_LIST(FV_X)
#undef FV_X

#endif
