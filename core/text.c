#include "core/text.h"

#include "core/alloc.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Room for n more bytes and the terminator. */
static bool reserve(fv_text *t, size_t n) {
    if (t->failed) return false;
    if (n >= SIZE_MAX / 4 - t->bytes) {
        FV_FAIL(FV_ERR_NOMEM, "text of %zu bytes", n);
        t->failed = true;
        return false;
    }
    const size_t need = t->bytes + n + 1;
    if (need <= t->capacity) return true;
    size_t capacity = t->capacity ? t->capacity : 256;
    while (capacity < need) capacity *= 2;
    char *data = fv_realloc(t->data, capacity, 1);
    if (!data) {
        t->failed = true;
        return false;
    }
    t->data = data;
    t->capacity = capacity;
    return true;
}

void fv_text_append_bytes(fv_text *t, const char *s, size_t n_bytes) {
    if (!reserve(t, n_bytes)) return;
    memcpy(t->data + t->bytes, s, n_bytes);
    t->bytes += n_bytes;
    t->data[t->bytes] = '\0';
}

void fv_text_append(fv_text *t, const char *s) { fv_text_append_bytes(t, s, strlen(s)); }

void fv_text_repeat(fv_text *t, char c, int64_t count) {
    for (int64_t i = 0; i < count; i++) fv_text_append_bytes(t, &c, 1);
}

void fv_text_printf(fv_text *t, const char *format, ...) {
    va_list args, again;

    va_start(args, format);
    va_copy(again, args);
    const int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (n >= 0 && reserve(t, (size_t)n)) {
        vsnprintf(t->data + t->bytes, (size_t)n + 1, format, again);
        t->bytes += (size_t)n;
    }
    va_end(again);
}

void fv_text_real(fv_text *t, double v) {
    char digits[40];

    for (int precision = 15; precision <= 17; precision++) {
        snprintf(digits, sizeof digits, "%.*g", precision, v);
        const double back = strtod(digits, NULL);
        if (memcmp(&back, &v, sizeof v) == 0) break;
    }
    const size_t mantissa = strcspn(digits, "e");
    fv_text_append_bytes(t, digits, mantissa);
    if (!memchr(digits, '.', mantissa)) fv_text_append(t, ".0");
    fv_text_append(t, digits + mantissa);
}

/* Bytes of the UTF-8 sequence at s and its code point; 0 when malformed (overlong forms, surrogates
 * and values beyond U+10FFFF included). */
static size_t utf8_decode(const unsigned char *s, uint32_t *code) {
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    const size_t n = s[0] < 0x80 ? 1 : s[0] < 0xc0 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;

    if (n == 0 || s[0] > 0xf4) return 0;
    *code = n == 1 ? s[0] : s[0] & (0x7fu >> n);
    for (size_t i = 1; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80) return 0;
        *code = *code << 6 | (s[i] & 0x3fu);
    }
    const bool surrogate = *code >= 0xd800 && *code < 0xe000;
    return *code < least[n] || *code > 0x10ffff || surrogate ? 0 : n;
}

void fv_text_quoted(fv_text *t, const char *s) {
    const unsigned char *p = (const unsigned char *)s;

    fv_text_append(t, "\"");
    while (*p) {
        uint32_t code = 0;
        const size_t n = utf8_decode(p, &code);
        /* So is what YAML does not count as printable, or takes for the end of a line. */
        const bool hidden = code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x2028 ||
                            code == 0x2029 || code == 0xfeff || code == 0xfffe || code == 0xffff;
        if (n == 0)
            fv_text_append(t, "\xef\xbf\xbd");
        else if (code == '"' || code == '\\')
            fv_text_printf(t, "\\%c", (int)code);
        else if (code == '\n')
            fv_text_append(t, "\\n");
        else if (code == '\t')
            fv_text_append(t, "\\t");
        else if (hidden)
            fv_text_printf(t, "\\u%04x", (unsigned)code);
        else
            fv_text_append_bytes(t, (const char *)p, n);
        p += n ? n : 1;
    }
    fv_text_append(t, "\"");
}

fv_status fv_text_take(fv_text *t, fv_arena *arena, char **out) {
    *out = t->failed ? NULL : fv_arena_strdup(arena, t->data ? t->data : "");
    fv_text_free(t);
    return *out ? FV_OK : FV_ERR_NOMEM;
}

void fv_text_free(fv_text *t) {
    fv_free(t->data);
    *t = (fv_text){0};
}
