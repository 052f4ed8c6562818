/* args.h - reading a family's constructor arguments (model_kwargs): errors name the key, its place in the
 * file and the rule. */
#ifndef FV_MODELS_ARGS_H
#define FV_MODELS_ARGS_H

#include "core/value.h"

/* Records "file:line:column: key: rule" and returns FV_ERR_CONFIG. */
fv_status fv_args_bad(const fv_value *map, const char *key, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* A word of a NULL-terminated list; *out (the caller's default before) becomes the list's. */
fv_status fv_args_word(fv_value *map, const char *key, const char *const words[], const char **out);

/* img_size, a number or [height, width]; the caller's own img_size goes before it when it is not 0. */
fv_status fv_args_size(fv_value *map, int64_t img_size, int64_t *height, int64_t *width);

/* One value for all of n, or a list of n. */
fv_status fv_args_ints(fv_value *map, const char *key, int64_t min, int64_t max, int64_t n,
                       int64_t out[]);
fv_status fv_args_reals(fv_value *map, const char *key, double min, double max, int64_t n,
                        double out[]);

/* A list of n integers, for config.json; NULL when memory runs out. */
fv_value *fv_args_int_list(fv_arena *arena, int64_t n, const int64_t values[]);

#endif
