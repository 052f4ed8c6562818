/* cmd_info.c - fovea info: the build, the CPU and the kernels that would be used here. */
#include "cli/command.h"
#include "cli/print.h"
#include "core/backend/backend.h"
#include "core/kernels/kernels.h"
#include "core/parallel.h"

#include <string.h>

#if defined(__clang__)
#define COMPILER "clang " __clang_version__
#else
#define COMPILER "gcc " __VERSION__
#endif

static const char *const flag_names[] = {"avx2", "avx512", "avx512_bf16", "amx_bf16", "neon"};

/* The implementation that the backend picks for a linear layer of ViT-S over 1576 tokens. */
static fv_status gemm_name(fv_dtype dtype, bool trans_a, const char **out) {
    fv_gemm desc;
    const fv_gemm_plan *plan = NULL;

    memset(&desc, 0, sizeof desc); /* descriptors are compared by their bytes */
    desc.m = trans_a ? 1152 : 1576;
    desc.k = trans_a ? 1576 : 384;
    desc.n = trans_a ? 384 : 1152;
    desc.trans_a = trans_a;
    desc.trans_b = desc.apart = !trans_a;
    desc.lda = trans_a ? desc.m : desc.k;
    desc.ldb = trans_a ? desc.n : desc.k;
    desc.ldc = desc.n;
    desc.ab = dtype;
    desc.c = FV_F32;
    FV_TRY(fv_backend()->gemm_find(&desc, &plan));
    *out = fv_backend()->gemm_implementation(plan);
    return FV_OK;
}

static fv_status add_kernels(fv_arena *arena, fv_value *map) {
    static const struct {
        const char *name;
        fv_dtype dtype;
        bool trans_a;
    } products[] = {
        {"linear_f32", FV_F32, false},
        {"linear_bf16", FV_BF16, false},
        {"weight_gradient_f32", FV_F32, true},
        {"weight_gradient_bf16", FV_BF16, true},
    };
    for (size_t i = 0; i < sizeof products / sizeof *products; i++) {
        const char *name;
        FV_TRY(gemm_name(products[i].dtype, products[i].trans_a, &name));
        fv_value_set(arena, map, products[i].name, fv_value_string(arena, name));
    }
    fv_value_set(arena, map, "elementwise", fv_value_string(arena, fv_kernel()->isa));
    return FV_OK;
}

static fv_status collect(fv_arena *arena, fv_value *info) {
    fv_value *flags = fv_value_new(arena, FV_VALUE_LIST);
    fv_value *kernels = fv_value_new(arena, FV_VALUE_MAP);

    for (size_t i = 0; i < sizeof flag_names / sizeof *flag_names; i++) {
        if (fv_cpu_flags() & 1u << i) fv_value_add(flags, fv_value_string(arena, flag_names[i]));
    }
    FV_TRY(add_kernels(arena, kernels));
    fv_value_set(arena, info, "version", fv_value_string(arena, FOVEA_VERSION));
    fv_value_set(arena, info, "compiler", fv_value_string(arena, COMPILER));
    fv_value_set(arena, info, "cpu", fv_value_string(arena, fv_cpu_model()));
    fv_value_set(arena, info, "isa", fv_value_string(arena, fv_cpu_isa()));
    fv_value_set(arena, info, "cpu_flags", flags);
    fv_value_set(arena, info, "threads_available", fv_value_int(arena, fv_threads_available()));
    fv_value_set(arena, info, "threads", fv_value_int(arena, fv_threads()));
    fv_value_set(arena, info, "backend", fv_value_string(arena, fv_backend()->name));
    fv_value_set(arena, info, "bf16_dot_products",
                 fv_value_bool(arena, (fv_cpu_flags() & FV_CPU_AVX512_BF16) != 0));
    fv_value_set(arena, info, "kernels", kernels);
    return info && !info->incomplete ? FV_OK : FV_ERR_NOMEM;
}

static fv_status run(const fv_args *args) {
    fv_arena arena = {0};
    fv_value *info = fv_value_new(&arena, FV_VALUE_MAP);

    fv_status status = collect(&arena, info);
    if (status == FV_OK && args->settings.json)
        status = fv_print_json(info);
    else if (status == FV_OK)
        fv_print_map(info);
    fv_arena_destroy(&arena);
    return status;
}

const fv_command fv_command_info = {
    .name = "info",
    .summary = "print the build, the CPU and the kernels in use",
    .usage = "[options]",
    .example = "fovea info --json",
    .options = FV_CMD_INFO,
    .run = run,
};
