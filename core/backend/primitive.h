/* primitive.h - oneDNN's primitives without its header: what backend_dnnl.c offers to onednn.c.
 *
 * Creating, equipping and destroying are not thread-safe: onednn.c holds a lock, and limits OpenMP
 * to one thread while it creates, because an implementation's blocking depends on it. */
#ifndef FV_CORE_PRIMITIVE_H
#define FV_CORE_PRIMITIVE_H

#include "core/backend/backend.h"

typedef struct fv_primitive fv_primitive;

extern const char fv_primitive_library[]; /* "onednn 2.6.3" */

/* From normalised descriptors.  The caller destroys; NULL is fine there. */
fv_status fv_primitive_gemm(const fv_gemm *desc, fv_primitive **out);
fv_status fv_primitive_conv(const fv_conv *desc, fv_primitive **out);
void fv_primitive_destroy(fv_primitive *p);

/* Memory objects and scratch for every thread of the budget; allocates when it has grown only. */
fv_status fv_primitive_equip(fv_primitive *p);

const char *fv_primitive_implementation(const fv_primitive *p);

/* Convolutions that read weights: bytes of the packed form, and its making. */
size_t fv_primitive_packed_bytes(const fv_primitive *p);
fv_status fv_primitive_pack(const fv_primitive *p, const void *w, void *packed);

/* One-threaded, in the calling thread, which may be one of many.  a, b and out as in backend.h. */
fv_status fv_primitive_run(const fv_primitive *p, const void *a, const void *b, const float *bias,
                           void *out);

/* Ends the lanes' streams, frees their scratch, and the engine; no primitive may be left. */
void fv_primitive_release(void);

#endif
