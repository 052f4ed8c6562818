/* faithful_output.h - what fovea faithful found, as tables on stdout, as JSON, and as files. */
#ifndef FV_CLI_FAITHFUL_OUTPUT_H
#define FV_CLI_FAITHFUL_OUTPUT_H

#include "core/settings.h"
#include "core/text.h"
#include "eval/saliency/faithful_table.h"
#include "eval/saliency/randomisation.h"

typedef struct fv_faithful_output {
    const fv_faithful_table *table;
    const fv_randomisation_table *randomisation; /* NULL: not asked for */
    const char *checkpoint;
    const fv_settings *settings; /* json, out, data_dir, split */
} fv_faithful_output;

/* Prints tables, or with --json one value {checkpoint, data, split, count, methods, comparisons,
 * randomisation}; with --out writes the same value to faithful.json and a row per method and number to
 * faithful.csv. */
fv_status fv_faithful_output_write(const fv_faithful_output *output);

/* Methods and metrics as a part of --help. */
void fv_faithful_help(fv_text *text);

#endif
