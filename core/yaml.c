#include "core/yaml.h"

#include "core/alloc.h"
#include "core/file.h"
#include "core/yaml_scalar.h"

#include <yaml.h>

#include <stdio.h>
#include <string.h>

#define MAX_BYTES   ((size_t)1 << 20)
#define MAX_DEPTH   64
#define MAX_VALUES  20000
#define MAX_ANCHORS 100

typedef struct reader {
    yaml_parser_t parser;
    fv_arena *arena;
    const char *name; /* in the arena */
    const char *text; /* for the position of invalid bytes */
    size_t n_bytes;
    int64_t values; /* made so far, copies for aliases included */
    struct {
        const char *name;
        const fv_value *value;
    } anchor[MAX_ANCHORS];
    int n_anchors;
} reader;

static fv_status fail_at(const reader *r, const yaml_mark_t *mark, const char *message,
                         const char *detail) {
    return FV_FAIL(FV_ERR_CONFIG, "%s:%d:%d: %s%.80s", r->name, (int)mark->line + 1,
                   (int)mark->column + 1, message, detail);
}

/* Turns libyaml's state after a failed call into a status. */
static fv_status parser_error(const reader *r) {
    const yaml_parser_t *p = &r->parser;
    yaml_mark_t mark = p->problem_mark;

    if (p->error == YAML_MEMORY_ERROR) return FV_FAIL(FV_ERR_NOMEM, "%s: out of memory", r->name);
    if (p->error == YAML_READER_ERROR) { /* it has an offset only */
        mark = (yaml_mark_t){0};
        for (size_t i = 0; i < p->problem_offset && i < r->n_bytes; i++) {
            mark.column++;
            if (r->text[i] == '\n') {
                mark.line++;
                mark.column = 0;
            }
        }
    }
    char context[80] = "";
    if (p->context && p->error != YAML_READER_ERROR)
        snprintf(context, sizeof context, " %s from line %d", p->context,
                 (int)p->context_mark.line + 1);
    return fail_at(r, &mark, p->problem ? p->problem : "malformed YAML", context);
}

static fv_status next_event(reader *r, yaml_event_t *event) {
    return yaml_parser_parse(&r->parser, event) ? FV_OK : parser_error(r);
}

static fv_status read_node(reader *r, const yaml_event_t *event, int depth, fv_value **out);

static fv_status new_value(reader *r, const yaml_event_t *event, fv_value_kind kind,
                           fv_value **out) {
    if (++r->values > MAX_VALUES) return fail_at(r, &event->start_mark, "too many values", "");
    *out = fv_value_new(r->arena, kind);
    if (!*out) return FV_ERR_NOMEM;
    (*out)->file = r->name;
    (*out)->line = (int)event->start_mark.line + 1;
    (*out)->column = (int)event->start_mark.column + 1;
    return FV_OK;
}

/* Only the non-specific "!" and !!str are allowed; both make a string. */
static fv_status check_tag(const reader *r, const yaml_event_t *event, const yaml_char_t *tag) {
    const char *name = (const char *)tag;

    if (!name || strcmp(name, "!") == 0 || strcmp(name, YAML_STR_TAG) == 0) return FV_OK;
    return fail_at(r, &event->start_mark, "tags are not supported: ", name);
}

static fv_status read_scalar(reader *r, const yaml_event_t *event, fv_value **out) {
    const char *text = (const char *)event->data.scalar.value;
    const bool plain =
        event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && !event->data.scalar.tag;

    if (strlen(text) != event->data.scalar.length)
        return fail_at(r, &event->start_mark, "a string holds a 0 byte", "");
    FV_TRY(check_tag(r, event, event->data.scalar.tag));
    FV_TRY(new_value(r, event, FV_VALUE_STRING, out));
    (*out)->text = fv_arena_strdup(r->arena, text);
    if (!(*out)->text) return FV_ERR_NOMEM;
    if (plain) fv_yaml_resolve(*out);
    return FV_OK;
}

static int64_t count_values(const fv_value *v) {
    int64_t n = 1;
    for (const fv_value *child = v->first; child; child = child->next) n += count_values(child);
    return n;
}

static fv_status read_alias(reader *r, const yaml_event_t *event, fv_value **out) {
    const char *name = (const char *)event->data.alias.anchor;

    for (int i = r->n_anchors - 1; i >= 0; i--) { /* the latest definition counts */
        if (strcmp(r->anchor[i].name, name) != 0) continue;
        r->values += count_values(r->anchor[i].value);
        if (r->values > MAX_VALUES) return fail_at(r, &event->start_mark, "too many values", "");
        *out = fv_value_copy(r->arena, r->anchor[i].value);
        return *out ? FV_OK : FV_ERR_NOMEM;
    }
    return fail_at(r, &event->start_mark, "unknown alias *", name);
}

/* An anchor becomes usable once its node is complete, so that no value contains itself. */
static fv_status remember_anchor(reader *r, const yaml_event_t *event, const yaml_char_t *name,
                                 const fv_value *value) {
    if (!name) return FV_OK;
    if (r->n_anchors == MAX_ANCHORS) return fail_at(r, &event->start_mark, "too many anchors", "");
    r->anchor[r->n_anchors].name = fv_arena_strdup(r->arena, (const char *)name);
    if (!r->anchor[r->n_anchors].name) return FV_ERR_NOMEM;
    r->anchor[r->n_anchors++].value = value;
    return FV_OK;
}

static fv_status read_sequence(reader *r, int depth, fv_value *list) {
    fv_status status = FV_OK;
    bool end = false;

    while (status == FV_OK && !end) {
        yaml_event_t event;
        fv_value *item = NULL;
        FV_TRY(next_event(r, &event));
        end = event.type == YAML_SEQUENCE_END_EVENT;
        if (!end) status = read_node(r, &event, depth + 1, &item);
        if (item && status == FV_OK) {
            item->key = NULL; /* an alias copies the key of a map's entry */
            fv_value_add(list, item);
        }
        yaml_event_delete(&event);
    }
    return status;
}

static fv_status read_key(reader *r, const yaml_event_t *event, const fv_value *map,
                          const char **key) {
    if (event->type != YAML_SCALAR_EVENT)
        return fail_at(r, &event->start_mark, "a key must be a plain word", "");
    const char *text = (const char *)event->data.scalar.value;
    FV_TRY(check_tag(r, event, event->data.scalar.tag));
    if (strlen(text) != event->data.scalar.length)
        return fail_at(r, &event->start_mark, "a key holds a 0 byte", "");
    if (fv_value_find(map, text)) return fail_at(r, &event->start_mark, "duplicate key ", text);
    *key = fv_arena_strdup(r->arena, text);
    return *key ? FV_OK : FV_ERR_NOMEM;
}

static fv_status read_mapping(reader *r, int depth, fv_value *map) {
    fv_status status = FV_OK;

    while (status == FV_OK) {
        yaml_event_t event;
        fv_value *item = NULL;
        const char *key = NULL;
        FV_TRY(next_event(r, &event));
        const bool end = event.type == YAML_MAPPING_END_EVENT;
        const yaml_mark_t key_mark = event.start_mark;
        if (!end) status = read_key(r, &event, map, &key);
        yaml_event_delete(&event);
        if (end || status != FV_OK) break;
        FV_TRY(next_event(r, &event));
        status = read_node(r, &event, depth + 1, &item);
        yaml_event_delete(&event);
        if (status != FV_OK) break;
        item->key = key;
        item->key_line = (int)key_mark.line + 1;
        item->key_column = (int)key_mark.column + 1;
        fv_value_add(map, item);
    }
    return status;
}

static fv_status read_node(reader *r, const yaml_event_t *event, int depth, fv_value **out) {
    const bool map = event->type == YAML_MAPPING_START_EVENT;

    if (event->type == YAML_ALIAS_EVENT) return read_alias(r, event, out);
    if (event->type == YAML_SCALAR_EVENT) {
        FV_TRY(read_scalar(r, event, out));
        return remember_anchor(r, event, event->data.scalar.anchor, *out);
    }
    if (!map && event->type != YAML_SEQUENCE_START_EVENT)
        return fail_at(r, &event->start_mark, "malformed YAML", "");
    if (depth > MAX_DEPTH) return fail_at(r, &event->start_mark, "nested too deeply", "");
    FV_TRY(
        check_tag(r, event, map ? event->data.mapping_start.tag : event->data.sequence_start.tag));
    FV_TRY(new_value(r, event, map ? FV_VALUE_MAP : FV_VALUE_LIST, out));
    FV_TRY(map ? read_mapping(r, depth, *out) : read_sequence(r, depth, *out));
    return remember_anchor(
        r, event, map ? event->data.mapping_start.anchor : event->data.sequence_start.anchor, *out);
}

/* Stream start, at most one document, stream end. */
static fv_status read_stream(reader *r, fv_value **out) {
    fv_status status = FV_OK;
    bool end = false, seen = false;

    while (status == FV_OK && !end) {
        yaml_event_t event;
        FV_TRY(next_event(r, &event));
        switch (event.type) {
        case YAML_STREAM_END_EVENT:
            end = true;
            break;
        case YAML_DOCUMENT_START_EVENT:
            if (seen) status = fail_at(r, &event.start_mark, "only one document is allowed", "");
            seen = true;
            break;
        case YAML_NO_EVENT:
        case YAML_STREAM_START_EVENT:
        case YAML_DOCUMENT_END_EVENT:
            break;
        default:
            status = read_node(r, &event, 1, out);
            break;
        }
        yaml_event_delete(&event);
    }
    if (status == FV_OK && !*out) {
        *out = fv_value_new(r->arena, FV_VALUE_NULL);
        if (!*out) return FV_ERR_NOMEM;
        (*out)->file = r->name;
        (*out)->line = (*out)->column = 1;
    }
    return status;
}

fv_status fv_yaml_parse(const char *text, size_t n_bytes, const char *name, fv_arena *arena,
                        fv_value **out) {
    fv_status status = FV_OK;
    fv_value *root = NULL;

    *out = NULL;
    reader *r = fv_calloc(1, sizeof *r);
    if (!r) return FV_ERR_NOMEM;
    *r = (reader){.arena = arena, .text = text, .n_bytes = n_bytes};
    r->name = fv_arena_strdup(arena, name);
    if (!r->name || !yaml_parser_initialize(&r->parser)) {
        status = FV_FAIL(FV_ERR_NOMEM, "%s: out of memory", name);
        goto cleanup;
    }
    yaml_parser_set_input_string(&r->parser, (const unsigned char *)text, n_bytes);
    yaml_parser_set_encoding(&r->parser, YAML_UTF8_ENCODING);
    status = read_stream(r, &root);
    yaml_parser_delete(&r->parser);
    if (status == FV_OK) *out = root;
cleanup:
    fv_free(r);
    return status;
}

fv_status fv_yaml_load(const char *path, fv_arena *arena, fv_value **out) {
    uint8_t *bytes = NULL;
    size_t n_bytes = 0;

    *out = NULL;
    fv_status status = fv_file_read(path, MAX_BYTES, &bytes, &n_bytes);
    if (status == FV_ERR_NOMEM) return status;
    if (status != FV_OK) return FV_ERR_CONFIG; /* the message names the path */
    status = fv_yaml_parse((const char *)bytes, n_bytes, path, arena, out);
    fv_free(bytes);
    return status;
}
