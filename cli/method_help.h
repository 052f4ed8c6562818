/* method_help.h - the explanation methods as a part of --help. */
#ifndef FV_CLI_METHOD_HELP_H
#define FV_CLI_METHOD_HELP_H

#include "core/text.h"

/* Every method with its variants and parameters, from the list of methods. */
void fv_method_help(fv_text *text);

#endif
