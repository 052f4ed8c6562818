#include "core/kernels/kernels.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

static unsigned flags;
static char model[128];
static const char *limit = "";
static fv_kernels table;
static pthread_once_t cpu_once = PTHREAD_ONCE_INIT, table_once = PTHREAD_ONCE_INIT;

#if defined(__x86_64__)

/* Register states that the operating system saves at a task switch (XCR0). */
#define OS_AVX    0x6u
#define OS_AVX512 0xe6u
#define OS_AMX    0x60000u

static unsigned detect(void) {
    unsigned a, b, c, d, found = 0;

    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE)) return 0;
    const bool fma = (c & bit_FMA) != 0;
    unsigned os, os_high;
    __asm__ volatile("xgetbv" : "=a"(os), "=d"(os_high) : "c"(0));

    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return 0;
    const unsigned n_leaves = a;
    const unsigned wide = bit_AVX512F | bit_AVX512BW | bit_AVX512DQ | bit_AVX512VL;
    const bool amx = (d & (1u << 22)) && (d & (1u << 24)); /* AMX-BF16, AMX-TILE */
    if ((os & OS_AVX) == OS_AVX && fma && (b & bit_AVX2)) found |= FV_CPU_AVX2;
    if (found && (os & OS_AVX512) == OS_AVX512 && (b & wide) == wide) found |= FV_CPU_AVX512;
    if (!(found & FV_CPU_AVX512)) return found;
    if (amx && (os & OS_AMX) == OS_AMX) found |= FV_CPU_AMX_BF16;
    if (n_leaves >= 1 && __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & (1u << 5)))
        found |= FV_CPU_AVX512_BF16;
    return found;
}

#elif defined(__aarch64__)
static unsigned detect(void) { return FV_CPU_NEON; } /* part of the base architecture */
#else
static unsigned detect(void) { return 0; }
#endif

static void read_model(void) {
    char line[256];
    struct utsname machine;

    FILE *f = fopen("/proc/cpuinfo", "r");
    while (f && !model[0] && fgets(line, sizeof line, f)) {
        const char *colon = strchr(line, ':');
        if (!colon || strncmp(line, "model name", 10) != 0) continue;
        colon += 1 + strspn(colon + 1, " \t");
        snprintf(model, sizeof model, "%.*s", (int)strcspn(colon, "\n"), colon);
    }
    if (f) fclose(f);
    if (!model[0]) snprintf(model, sizeof model, "%s", uname(&machine) == 0 ? machine.machine : "");
}

static void read_cpu(void) {
    static const struct {
        const char *name;
        unsigned keep;
    } limits[] = {
        {"c", 0}, {"avx2", FV_CPU_AVX2 | FV_CPU_NEON}, {"avx512", FV_CPU_AVX2 | FV_CPU_AVX512}};
    const char *wanted = getenv("FOVEA_CPU");

    flags = detect();
    for (size_t i = 0; wanted && i < sizeof limits / sizeof *limits; i++) {
        if (strcmp(wanted, limits[i].name) != 0) continue;
        limit = limits[i].name;
        flags &= limits[i].keep;
    }
    read_model();
}

unsigned fv_cpu_flags(void) {
    pthread_once(&cpu_once, read_cpu);
    return flags;
}

const char *fv_cpu_limit(void) {
    pthread_once(&cpu_once, read_cpu);
    return limit;
}

const char *fv_cpu_isa(void) {
    const unsigned cpu = fv_cpu_flags();
    if (cpu & FV_CPU_AVX512_BF16) return "avx512_bf16";
    if (cpu & FV_CPU_AVX512) return "avx512";
    if (cpu & FV_CPU_AVX2) return "avx2";
    return cpu & FV_CPU_NEON ? "neon" : "c";
}

const char *fv_cpu_model(void) {
    pthread_once(&cpu_once, read_cpu);
    return model;
}

static void select_kernels(void) {
    fv_kernels_init_c(&table);
    if (fv_cpu_flags() & FV_CPU_AVX2) fv_kernels_init_avx2(&table);
    if (fv_cpu_flags() & FV_CPU_AVX512) fv_kernels_init_avx512(&table);
    if (fv_cpu_flags() & FV_CPU_AVX512_BF16) fv_kernels_init_pairs_avx512(&table);
}

const fv_kernels *fv_kernel(void) {
    pthread_once(&table_once, select_kernels);
    return &table;
}
