#include "core/topology.h"

#include <limits.h>
#include <math.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CPU_SETS   8 /* 8192 CPUs */
#define PATH_BYTES 1024
#define LINE_BYTES 512

static bool read_line(const char *path, char line[LINE_BYTES]) {
    FILE *f = fopen(path, "r");
    if (!f) return false;
    const bool ok = fgets(line, LINE_BYTES, f) != NULL;
    fclose(f);
    return ok;
}

/* True when a CPU with a smaller number in the mask shares this one's core.  The list of siblings
 * reads "0-1" or "0,64". */
static bool shares_core(int cpu, const cpu_set_t *mask, size_t mask_bytes) {
    char path[128], line[LINE_BYTES];

    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", cpu);
    if (!read_line(path, line)) return false;
    for (char *s = line; *s >= '0' && *s <= '9';) {
        const long first = strtol(s, &s, 10);
        const long last = *s == '-' ? strtol(s + 1, &s, 10) : first;
        for (long i = first; i <= last && i < cpu; i++)
            if (CPU_ISSET_S((size_t)i, mask_bytes, mask)) return true;
        if (*s == ',') s++;
    }
    return false;
}

int fv_topology_cores(void) {
    cpu_set_t mask[CPU_SETS];
    int n = 0;

    memset(mask, 0, sizeof mask);
    if (sched_getaffinity(0, sizeof mask, mask) != 0) return 1;
    for (int cpu = 0; cpu < CPU_SETS * CPU_SETSIZE; cpu++)
        if (CPU_ISSET_S((size_t)cpu, sizeof mask, mask) && !shares_core(cpu, mask, sizeof mask))
            n++;
    return n > 0 ? n : 1;
}

/* Quota over period of one group's folder in CPUs; 0 = none. */
static double group_quota(const char *folder, bool v2) {
    char path[PATH_BYTES + 32], line[LINE_BYTES];
    double quota = 0.0, period = 0.0;

    if (v2) {
        snprintf(path, sizeof path, "%s/cpu.max", folder);
        if (!read_line(path, line) || sscanf(line, "%lf %lf", &quota, &period) != 2) return 0.0;
    } else {
        snprintf(path, sizeof path, "%s/cpu.cfs_quota_us", folder);
        if (!read_line(path, line) || sscanf(line, "%lf", &quota) != 1) return 0.0;
        snprintf(path, sizeof path, "%s/cpu.cfs_period_us", folder);
        if (!read_line(path, line) || sscanf(line, "%lf", &period) != 1) return 0.0;
    }
    return quota > 0.0 && period > 0.0 ? quota / period : 0.0; /* "max" and -1 mean no limit */
}

/* The tightest quota from root/group up to root.  A container may see its own group as the root and
 * a path that does not exist below it: missing folders are passed over. */
static double tightest_quota(const char *root, const char *group, bool v2) {
    char folder[PATH_BYTES];
    double tightest = 0.0;

    const int n = snprintf(folder, sizeof folder, "%s%s", root, group);
    if (n < 0 || n >= PATH_BYTES) return 0.0;
    for (;;) {
        const double quota = group_quota(folder, v2);
        if (quota > 0.0 && (tightest <= 0.0 || quota < tightest)) tightest = quota;
        char *slash = strrchr(folder, '/');
        if (!slash || strlen(folder) <= strlen(root)) return tightest;
        *slash = '\0';
    }
}

/* True when the comma-separated list holds the controller "cpu". */
static bool has_cpu(const char *controllers) {
    for (const char *s = controllers; s; s = strchr(s, ',') ? strchr(s, ',') + 1 : NULL)
        if (strncmp(s, "cpu", 3) == 0 && (s[3] == ',' || s[3] == '\0')) return true;
    return false;
}

int fv_topology_quota(const char *proc_cgroup, const char *sys_root) {
    const char *root = sys_root ? sys_root : "/sys/fs/cgroup";
    char line[LINE_BYTES], mount[PATH_BYTES];
    double tightest = 0.0;

    FILE *f = fopen(proc_cgroup ? proc_cgroup : "/proc/self/cgroup", "r");
    if (!f) return 0;
    while (fgets(line, sizeof line, f)) { /* "0::/group" (v2) or "4:cpu,cpuacct:/group" (v1) */
        line[strcspn(line, "\n")] = '\0';
        char *controllers = strchr(line, ':');
        char *group = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!group) continue;
        *group++ = '\0';
        controllers++;

        const bool v2 = *controllers == '\0';
        if (!v2 && !has_cpu(controllers)) continue;
        snprintf(mount, sizeof mount, "%s%s", root, v2 ? "" : "/cpu");
        const double quota = tightest_quota(mount, group, v2);
        if (quota > 0.0 && (tightest <= 0.0 || quota < tightest)) tightest = quota;
    }
    fclose(f);
    return tightest > 0.0 ? (int)fmin(ceil(tightest), INT_MAX) : 0;
}
