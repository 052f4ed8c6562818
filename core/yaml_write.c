#include "core/text.h"
#include "core/yaml.h"
#include "core/yaml_scalar.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define LONG_KEY 160 /* bytes, of which an escape makes 6 at most */

fv_value *fv_yaml_scalar(fv_arena *arena, const char *text) {
    fv_value *v = fv_value_string(arena, text);
    if (v) fv_yaml_resolve(v);
    return v;
}

static void write_string(fv_text *t, const char *s) {
    if (fv_yaml_is_plain(s))
        fv_text_append(t, s);
    else
        fv_text_quoted(t, s);
}

static void write_real(fv_text *t, double v) {
    if (isnan(v))
        fv_text_append(t, ".nan");
    else if (isinf(v))
        fv_text_append(t, v > 0 ? ".inf" : "-.inf");
    else
        fv_text_real(t, v);
}

/* A reader takes up to 1024 characters, quotes and escapes included, for a key without asking; before more
 * there has to be a question mark. */
static bool is_long_key(const char *key) { return strlen(key) > LONG_KEY; }

/* On one line: [a, b] and {k: v}. */
static void write_flow(fv_text *t, const fv_value *v) {
    const bool map = v->kind == FV_VALUE_MAP;

    switch (v->kind) {
    case FV_VALUE_NULL:
        fv_text_append(t, "null");
        return;
    case FV_VALUE_BOOL:
        fv_text_append(t, v->integer ? "true" : "false");
        return;
    case FV_VALUE_INT:
        fv_text_printf(t, "%" PRId64, v->integer);
        return;
    case FV_VALUE_REAL:
        write_real(t, v->real);
        return;
    case FV_VALUE_STRING:
        write_string(t, v->text);
        return;
    case FV_VALUE_LIST:
    case FV_VALUE_MAP:
        break;
    }
    if (v->incomplete) t->failed = true;
    fv_text_append(t, map ? "{" : "[");
    for (const fv_value *child = v->first; child && !t->failed; child = child->next) {
        if (child != v->first) fv_text_append(t, ", ");
        if (map) {
            if (is_long_key(child->key)) fv_text_append(t, "? ");
            write_string(t, child->key);
            fv_text_append(t, ": ");
        }
        write_flow(t, child);
    }
    fv_text_append(t, map ? "}" : "]");
}

static void write_block(fv_text *t, const fv_value *map, int depth) {
    if (map->incomplete) t->failed = true;
    for (const fv_value *child = map->first; child && !t->failed; child = child->next) {
        fv_text_repeat(t, ' ', 2 * depth);
        if (is_long_key(child->key)) fv_text_append(t, "? ");
        write_string(t, child->key);
        if (is_long_key(child->key)) {
            fv_text_append(t, "\n");
            fv_text_repeat(t, ' ', 2 * depth);
        }
        fv_text_append(t, ":");
        if (child->kind == FV_VALUE_MAP && (child->first || child->incomplete)) {
            fv_text_append(t, "\n");
            write_block(t, child, depth + 1);
        } else {
            fv_text_append(t, " ");
            write_flow(t, child);
            fv_text_append(t, "\n");
        }
    }
}

fv_status fv_yaml_write(const fv_value *v, fv_arena *arena, char **out) {
    fv_text text = {0};

    *out = NULL;
    if (!v) return FV_FAIL(FV_ERR_NOMEM, "no memory for the document");
    if (v->kind == FV_VALUE_MAP && (v->first || v->incomplete)) {
        write_block(&text, v, 0);
    } else {
        write_flow(&text, v);
        fv_text_append(&text, "\n");
    }
    return fv_text_take(&text, arena, out);
}
