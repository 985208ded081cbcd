// Package hosts makes machines for tests: each host is a systemd-nspawn container with a real systemd as PID 1, a root
// tree of its own, its own network namespace on a bridge that leads nowhere, no default route and no DNS server.
//
// A host is as near to a server in a closed site as one machine can make it. Files get in by being copied into its root
// tree from outside, as a person with a disk would. What a host sends out of its network is counted and dropped where the
// bridge meets the machine (Escapes), so a test can say "nothing left" and know it.
//
// Special cases are decided by looking (Machine): a machine with cgroup v1 gets a child group per controller and per host,
// a machine without CAP_SYS_RESOURCE gets a runtime that does not lower oom_score_adj. On an ordinary Debian with systemd
// and cgroup v2 none of that happens.
//
// State is in files below Lab.Dir and in the kernel, never only in a process: `lab kill` works on hosts that another
// process made. Everything that a killed lab leaves behind, Down takes away.
package hosts
