// Package upgrade upgrades real clusters on real hosts without a network, from one minor version to the next: one that succeeds, with a client that
// counts for how long it is not served; ones that are given a component which does not start, and return by themselves; and one that is killed
// again and again, and finishes. The first cluster then goes on by a further minor version.
package upgrade
