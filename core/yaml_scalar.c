#include "core/yaml_scalar.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool is_one_of(const char *s, const char *const *words) {
    for (; *words; words++) {
        if (strcmp(s, *words) == 0) return true;
    }
    return false;
}

static const char *skip_digits(const char *s) { return s + strspn(s, "0123456789"); }

static const char *skip_sign(const char *s) { return s + (*s == '+' || *s == '-'); }

/* [-+]? [0-9]+ | 0o [0-7]+ | 0x [0-9a-fA-F]+ */
static bool resolve_int(const char *s, int64_t *out, bool *overflow) {
    const char *digits = skip_sign(s);
    int base = 10;

    if (s[0] == '0' && (s[1] == 'o' || s[1] == 'x')) {
        base = s[1] == 'o' ? 8 : 16;
        digits = s = s + 2;
    }
    const char *allowed = base == 8    ? "01234567"
                          : base == 16 ? "0123456789abcdefABCDEF"
                                       : "0123456789";
    if (!*digits || digits[strspn(digits, allowed)]) return false;
    errno = 0;
    *out = strtoll(s, NULL, base);
    *overflow = errno == ERANGE;
    return true;
}

/* [-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )? */
static bool is_float(const char *s) {
    s = skip_sign(s);
    const char *fraction = skip_digits(s);
    const bool whole = fraction != s;
    if (*fraction == '.') {
        s = fraction + 1;
        fraction = skip_digits(s);
        if (!whole && fraction == s) return false;
    } else if (!whole) {
        return false;
    }
    if (*fraction != 'e' && *fraction != 'E') return *fraction == '\0';
    s = skip_sign(fraction + 1);
    return skip_digits(s) != s && *skip_digits(s) == '\0';
}

static void set_real(fv_value *v, double real) {
    v->kind = FV_VALUE_REAL;
    v->real = real;
}

void fv_yaml_resolve(fv_value *v) {
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL};
    static const char *const yes[] = {"true", "True", "TRUE", NULL};
    static const char *const no[] = {"false", "False", "FALSE", NULL};
    static const char *const inf[] = {".inf", ".Inf", ".INF", NULL};
    static const char *const nan_words[] = {".nan", ".NaN", ".NAN", NULL};
    const char *s = v->text;
    int64_t integer = 0;
    bool overflow = false;

    if (is_one_of(s, nulls)) {
        v->kind = FV_VALUE_NULL;
    } else if (is_one_of(s, yes) || is_one_of(s, no)) {
        v->kind = FV_VALUE_BOOL;
        v->integer = is_one_of(s, yes);
    } else if (resolve_int(s, &integer, &overflow)) {
        v->kind = overflow ? FV_VALUE_REAL : FV_VALUE_INT;
        v->integer = overflow ? 0 : integer;
        v->real = overflow ? strtod(s, NULL) : (double)integer;
    } else if (is_float(s)) {
        set_real(v, strtod(s, NULL));
    } else if (is_one_of(skip_sign(s), inf)) {
        set_real(v, *s == '-' ? -(double)INFINITY : (double)INFINITY);
    } else if (is_one_of(s, nan_words)) {
        set_real(v, (double)NAN);
    }
}

bool fv_yaml_is_plain(const char *s) {
    /* strings here, booleans or nulls in YAML 1.1, whatever their case */
    static const char *const avoided[] = {"y",   "n",    "yes",   "no",   "on",
                                          "off", "true", "false", "null", NULL};
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    char lower[8] = "";

    /* Starting with a letter, _ or / excludes numbers, dates and indicators. */
    if (!*s || !(strchr(letters, *s) || *s == '_' || *s == '/')) return false;
    if (s[strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./+-")])
        return false;
    for (size_t i = 0; i < sizeof lower - 1 && s[i]; i++)
        lower[i] = (char)(s[i] >= 'A' && s[i] <= 'Z' ? s[i] + 32 : s[i]);
    return strlen(s) >= sizeof lower - 1 || !is_one_of(lower, avoided);
}
