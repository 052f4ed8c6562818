/* topology.h - what the machine grants this process: physical cores and the cgroup's CPU quota. */
#ifndef FV_CORE_TOPOLOGY_H
#define FV_CORE_TOPOLOGY_H

/* Physical cores in the affinity mask, at least 1: of hardware threads that share a core one counts,
 * because matrix products gain nothing from the second. */
int fv_topology_cores(void);

/* CPUs granted by the tightest cgroup quota (v2 cpu.max or v1 cpu.cfs_quota_us) from the process's
 * group up to the root, rounded up; 0 when there is no limit or nothing can be read.
 * proc_cgroup is the file that names the groups, sys_root where they are mounted; NULL stands for
 * /proc/self/cgroup and /sys/fs/cgroup. */
int fv_topology_quota(const char *proc_cgroup, const char *sys_root);

#endif
