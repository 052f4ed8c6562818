#include "tests/support/tar_writer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK 512

void tar_sign(tar_writer *tar, size_t offset) {
    uint8_t *h = tar->bytes + offset;
    unsigned sum = 0;
    char text[8];

    memset(h + 148, ' ', 8);
    for (int i = 0; i < BLOCK; i++) sum += h[i];
    snprintf(text, sizeof text, "%06o", sum & 0777777);
    memcpy(h + 148, text, 7);
}

void tar_add(tar_writer *tar, char type, const char *name, const void *bytes, size_t n_bytes) {
    const size_t at = tar->n, padded = (n_bytes + BLOCK - 1) / BLOCK * BLOCK;
    char text[16];

    if (at + BLOCK + padded + 2 * BLOCK > sizeof tar->bytes) abort();
    uint8_t *h = tar->bytes + at;
    memset(h, 0, BLOCK + padded);
    memcpy(h, name, strlen(name) < 100 ? strlen(name) : 100);
    memcpy(h + 100, "0000644", 7);
    snprintf(text, sizeof text, "%011o", (unsigned)n_bytes);
    memcpy(h + 124, text, 11);
    h[156] = (uint8_t)type;
    memcpy(h + 257, "ustar\00000", 8);
    if (n_bytes > 0) memcpy(h + BLOCK, bytes, n_bytes);
    tar->n += BLOCK + padded;
    tar_sign(tar, at);
}

void tar_add_text(tar_writer *tar, const char *name, const char *text) {
    tar_add(tar, '0', name, text, strlen(text));
}

void tar_end(tar_writer *tar) {
    memset(tar->bytes + tar->n, 0, 2 * BLOCK);
    tar->n += 2 * BLOCK;
}
