#include "core/backend/backend.h"

#include "core/kernels/kernels.h"

#include <stdatomic.h>
#include <string.h>

static _Atomic(const fv_backend_table *) chosen; /* NULL = by FOVEA_CPU */

const fv_backend_table *fv_backend(void) {
    const fv_backend_table *table = atomic_load_explicit(&chosen, memory_order_acquire);
    if (table) return table;
    return strcmp(fv_cpu_limit(), "c") == 0 ? &fv_backend_ref : &fv_backend_dnnl;
}

void fv_backend_use(const fv_backend_table *table) {
    atomic_store_explicit(&chosen, table, memory_order_release);
}
