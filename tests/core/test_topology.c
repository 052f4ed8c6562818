#include "core/topology.h"

#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static char root[64];

static void make_root(void) {
    snprintf(root, sizeof root, "/tmp/fovea-topology-XXXXXX");
    cr_assert_not_null(mkdtemp(root));
}

static void remove_root(void) {
    char command[128];
    snprintf(command, sizeof command, "rm -r '%s'", root);
    cr_assert_eq(system(command), 0);
}

TestSuite(core_topology, .init = make_root, .fini = remove_root);

static void put(const char *name, const char *text) {
    char path[256];

    snprintf(path, sizeof path, "%s/%s", root, name);
    for (char *s = strchr(path + strlen(root) + 1, '/'); s; s = strchr(s + 1, '/')) {
        *s = '\0';
        mkdir(path, 0700);
        *s = '/';
    }
    FILE *f = fopen(path, "w");
    cr_assert_not_null(f);
    fputs(text, f);
    fclose(f);
}

static int quota(void) {
    char groups[128];
    snprintf(groups, sizeof groups, "%s/groups", root);
    return fv_topology_quota(groups, root);
}

Test(core_topology, cores_are_at_least_one) { cr_assert_geq(fv_topology_cores(), 1); }

Test(core_topology, quota_v2_is_rounded_up) {
    put("groups", "0::/app\n");
    put("app/cpu.max", "250000 100000\n");
    cr_assert_eq(quota(), 3);
}

Test(core_topology, quota_v2_takes_the_tightest_parent) {
    put("groups", "0::/outer/inner\n");
    put("outer/inner/cpu.max", "max 100000\n");
    put("outer/cpu.max", "200000 100000\n");
    put("cpu.max", "800000 100000\n");
    cr_assert_eq(quota(), 2);
}

Test(core_topology, quota_v1_is_read_below_its_controller) {
    put("groups", "7:memory:/app\n4:cpuacct,cpu:/app\n1:cpuset:/app\n");
    put("cpu/app/cpu.cfs_quota_us", "50000\n");
    put("cpu/app/cpu.cfs_period_us", "100000\n");
    cr_assert_eq(quota(), 1);
}

Test(core_topology, no_limit_is_zero) {
    cr_assert_eq(quota(), 0, "no such file");
    put("groups", "garbage\n4:cpu:/app\n0::/gone\n");
    put("cpu/app/cpu.cfs_quota_us", "-1\n");
    put("cpu/app/cpu.cfs_period_us", "100000\n");
    put("cpu.max", "max 100000\n");
    cr_assert_eq(quota(), 0);
}

Test(core_topology, a_missing_group_falls_back_to_the_root) {
    put("groups", "0::/not/here\n");
    put("cpu.max", "400000 100000\n");
    cr_assert_eq(quota(), 4);
}
