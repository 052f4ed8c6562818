/* bytes.h - integers of files, whose byte order is not the machine's. */
#ifndef FV_DATA_BYTES_H
#define FV_DATA_BYTES_H

#include <stdint.h>

/* Integers at p, lowest byte first (le) or highest first (be). */
static inline uint32_t fv_u16_le(const uint8_t *p) { return p[0] | (uint32_t)p[1] << 8; }
static inline uint32_t fv_u32_le(const uint8_t *p) { return fv_u16_le(p) | fv_u16_le(p + 2) << 16; }
static inline uint32_t fv_u16_be(const uint8_t *p) { return (uint32_t)p[0] << 8 | p[1]; }
static inline uint32_t fv_u32_be(const uint8_t *p) { return fv_u16_be(p) << 16 | fv_u16_be(p + 2); }

/* Write n = 2 or 4 bytes of v at p. */
static inline void fv_put_le(uint8_t *p, int n, uint32_t v) {
    for (int i = 0; i < n; i++) p[i] = (uint8_t)(v >> 8 * i);
}
static inline void fv_put_be(uint8_t *p, int n, uint32_t v) {
    for (int i = 0; i < n; i++) p[i] = (uint8_t)(v >> 8 * (n - 1 - i));
}

#endif
