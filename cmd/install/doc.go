// Command install travels inside a bundle and makes a node of the host it is run on, without any network but the cluster's own.
//
// Its verbs and flags are kubeadm's, letter for letter, wherever kubeadm has one. Standard output is for machines (the join command, a
// token, a list, the plan of a dry run); everything for people goes to standard error, one line per phase. This package only wires:
// what is done stands in package installer, what a flag means in installer/config.
package main
