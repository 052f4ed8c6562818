/* method_args.h - the explanation methods that a command line asks for, and the checkpoint opened as they
 * need it. */
#ifndef FV_CLI_METHOD_ARGS_H
#define FV_CLI_METHOD_ARGS_H

#include "cli/checkpoint_args.h"
#include "eval/saliency/method.h"

/* Reads `text`, the value of `flag`, into methods [max], gives --layer to those that look at a layer and
 * name none, and opens the checkpoint, whose errors are told before those of the methods.  End with
 * fv_checkpoint_args_close, also after a failure. */
fv_status fv_method_args_open(const fv_settings *settings, const char *flag, const char *text,
                              const char *checkpoint, fv_arena *arena, int max,
                              fv_saliency_choice *methods, int *n, fv_loaded *loaded);

#endif
