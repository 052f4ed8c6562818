/* status.h - the one error strategy: a function that can fail returns fv_status.
 *
 * FV_OK is 0.  The message of the latest failure sits in thread-local storage (fixed buffer, no
 * allocation); set it where the cause is known with FV_FAIL and add context (a path, a layer name)
 * on the way up with fv_error_context.  A message is one line: control characters in it (from names
 * and values of files) become '?'.  The library never prints, exits or aborts. */
#ifndef FV_CORE_STATUS_H
#define FV_CORE_STATUS_H

#define FV_STATUS_LIST(X)              \
    X(NOMEM, "out of memory")          \
    X(SHAPE, "shape mismatch")         \
    X(CONFIG, "invalid configuration") \
    X(NOT_FOUND, "not found")          \
    X(IO, "input/output error")        \
    X(FORMAT, "malformed data")        \
    X(UNSUPPORTED, "unsupported")      \
    X(BACKEND, "backend failure")      \
    X(NONFINITE, "non-finite value")   \
    X(INTERRUPTED, "interrupted")      \
    X(INTERNAL, "internal error")

typedef enum fv_status {
    FV_OK = 0,
#define FV_X(name, text) FV_ERR_##name,
    FV_STATUS_LIST(FV_X)
#undef FV_X
} fv_status;

/* Records a message for this thread and returns code.
 *     return FV_FAIL(FV_ERR_SHAPE, "linear: weight has %d dims, not 2", rank); */
#define FV_FAIL(code, ...) fv_error_set((code), __FILE__, __LINE__, __VA_ARGS__)

/* Propagates a failure out of a function that owns nothing. */
#define FV_TRY(expr)                                        \
    do {                                                    \
        const fv_status fv_try_status_ = (expr);            \
        if (fv_try_status_ != FV_OK) return fv_try_status_; \
    } while (0)

fv_status fv_error_set(fv_status code, const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Puts "context: " in front of the recorded message and returns code unchanged. */
fv_status fv_error_context(fv_status code, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The recorded message of this thread, "" if none; valid until its next failure. */
const char *fv_error_message(void);

/* Source position of the recorded message, "file.c:123". */
const char *fv_error_where(void);

/* The code's fixed text, e.g. "shape mismatch". */
const char *fv_status_text(fv_status code);

void fv_error_clear(void);

#endif
