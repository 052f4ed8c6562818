/* logits_file.h - collects the logits of an evaluation and writes them with the samples' names.
 *
 * The safetensors file holds "logits" [n,K] F32 and "labels" [n] I32, rows in the order of the data
 * set; its __metadata__ has "names", a JSON list of the n samples' paths below the split's folder, and
 * "classes", a JSON list of the K class names.  In Python:
 *
 *     with safe_open(path, "np") as f:
 *         logits, names = f.get_tensor("logits"), json.loads(f.metadata()["names"]) */
#ifndef FV_EVAL_LOGITS_FILE_H
#define FV_EVAL_LOGITS_FILE_H

#include "eval/evaluate.h"

typedef struct fv_logits_file fv_logits_file;

/* Finds out at once whether path can be written, and leaves it as it is.  dataset outlives *out,
 * which the caller destroys; NULL on error.  Errors name the path: FV_ERR_IO, FV_ERR_NOT_FOUND (its
 * folder), FV_ERR_NOMEM. */
fv_status fv_logits_file_create(const char *path, const fv_dataset *dataset, int64_t n_classes,
                                fv_logits_file **out);
void fv_logits_file_destroy(fv_logits_file *file); /* NULL is fine */

/* For fv_evaluate_options.sink, with the file as its user. */
fv_status fv_logits_file_add(void *file, const fv_evaluated *batch);

/* Writes what was added; on failure an older file at path is untouched. */
fv_status fv_logits_file_save(const fv_logits_file *file);

#endif
