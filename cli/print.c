#include "cli/print.h"

#include "core/json.h"
#include "core/text.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

fv_status fv_print_json(const fv_value *v) {
    fv_arena arena = {0};
    char *text = NULL;

    const fv_status status = fv_json_write(v, FV_JSON_INDENT, &arena, &text);
    if (status == FV_OK) puts(text);
    fv_arena_destroy(&arena);
    return status;
}

/* ---- maps ---- */

#define COLUMN 12 /* of tables, behind the first */

static bool is_table(const fv_value *v) {
    return v->kind == FV_VALUE_LIST && v->first && v->first->kind == FV_VALUE_MAP;
}

static const char *scalar_text(const fv_value *v, char text[32]) {
    switch (v->kind) {
    case FV_VALUE_STRING:
        return v->text;
    case FV_VALUE_BOOL:
        return v->integer ? "yes" : "no";
    case FV_VALUE_INT:
        snprintf(text, 32, "%" PRId64, v->integer);
        return text;
    case FV_VALUE_REAL:
        snprintf(text, 32, v->real >= 1e4 ? "%.0f" : "%.4g", v->real);
        return text;
    default:
        return "-";
    }
}

static int widest_first(const fv_value *rows) {
    char text[32];
    int most = 0;

    for (const fv_value *row = rows->first; row; row = row->next) {
        const int width = (int)strlen(scalar_text(row->first, text));
        if (width > most) most = width;
    }
    return most;
}

static void print_table(const fv_value *rows) {
    const int first = widest_first(rows);
    char text[32];

    fv_print("%-*s", first, rows->first->first->key);
    for (const fv_value *v = rows->first->first->next; v; v = v->next)
        fv_print(" %*s", COLUMN, v->key);
    fv_print("\n");
    for (const fv_value *row = rows->first; row; row = row->next) {
        fv_print("%-*s", first, scalar_text(row->first, text));
        for (const fv_value *v = row->first->next; v; v = v->next)
            fv_print(" %*s", COLUMN, scalar_text(v, text));
        fv_print("\n");
    }
}

static void print_map(const fv_value *map, const char *indent) {
    char text[32];

    for (const fv_value *v = map->first; v; v = v->next) {
        if (v->kind == FV_VALUE_MAP) {
            fv_print("%s%s\n", indent, v->key);
            print_map(v, "  ");
        } else if (is_table(v)) {
            print_table(v);
        } else {
            fv_print("%s%-24s", indent, v->key);
            if (v->kind != FV_VALUE_LIST) fv_print("%s", scalar_text(v, text));
            for (const fv_value *item = v->first; item; item = item->next)
                fv_print("%s%s", item == v->first ? "" : " ", scalar_text(item, text));
            fv_print("\n");
        }
    }
}

void fv_print_map(const fv_value *map) { print_map(map, ""); }

/* ---- CSV ---- */

static void append_quoted(fv_text *t, const char *s) {
    fv_text_append(t, "\"");
    for (; *s; s++) {
        if (*s == '"') fv_text_append(t, "\"");
        fv_text_append_bytes(t, s, 1);
    }
    fv_text_append(t, "\"");
}

static void append_cell(fv_text *t, const fv_value *v) {
    char text[32];

    if (v->kind == FV_VALUE_REAL) {
        if (isfinite(v->real)) fv_text_real(t, v->real);
    } else if (v->kind == FV_VALUE_STRING && strpbrk(v->text, ",\"\r\n")) {
        append_quoted(t, v->text);
    } else if (v->kind != FV_VALUE_NULL) {
        fv_text_append(t, scalar_text(v, text));
    }
}

static void append_row(fv_text *t, const fv_value *row, bool keys) {
    bool first = true;

    for (const fv_value *v = row->first; v; v = v->next) {
        if (v->kind == FV_VALUE_LIST || v->kind == FV_VALUE_MAP) continue;
        if (!first) fv_text_append(t, ",");
        first = false;
        if (keys)
            fv_text_append(t, v->key);
        else
            append_cell(t, v);
    }
    fv_text_append(t, "\n");
}

fv_status fv_print_csv(const fv_value *map) {
    fv_text t = {0};

    if (!map || map->incomplete) return FV_ERR_NOMEM;
    const fv_value *table = map->first;
    while (table && !is_table(table)) table = table->next;
    const fv_value *first = table ? table->first : map;
    bool complete = !table || !table->incomplete;
    append_row(&t, first, true);
    for (const fv_value *row = first; row; row = table ? row->next : NULL) {
        append_row(&t, row, false);
        complete = complete && !row->incomplete;
    }
    const fv_status status = complete && !t.failed ? FV_OK : FV_ERR_NOMEM;
    if (status == FV_OK) fv_print("%s", t.data);
    fv_text_free(&t);
    return status;
}

/* ---- text ---- */

void fv_print(const char *format, ...) {
    va_list args;

    va_start(args, format);
    vprintf(format, args);
    va_end(args);
}

fv_status fv_print_end(void) {
    errno = 0;
    if (fflush(stdout) == 0 && !ferror(stdout)) return FV_OK;
    return FV_FAIL(FV_ERR_IO, "cannot write to standard output: %s",
                   errno ? strerror(errno) : "write error");
}

bool fv_print_colored(const char *mode) {
    const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");

    if (strcmp(mode, "always") == 0) return true;
    if (strcmp(mode, "never") == 0 || (no_color && *no_color)) return false;
    return isatty(STDERR_FILENO) && term && strcmp(term, "dumb") != 0;
}

void fv_print_message(fv_report_level level, const char *text, bool colored) {
    if (level == FV_REPORT_INFO)
        fprintf(stderr, "%s\n", text);
    else
        fprintf(stderr, "fovea: %swarning:%s %s\n", colored ? "\033[33m" : "",
                colored ? "\033[0m" : "", text);
}

void fv_print_error(const char *text, bool colored) {
    fflush(stdout);
    fprintf(stderr, "fovea: %serror:%s %s\n", colored ? "\033[31m" : "", colored ? "\033[0m" : "",
            text);
}
