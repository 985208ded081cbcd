// Command bench measures what the product promises against what people use today, and prints ratios.
//
//	build     bundler build against crane (OCI layout) | tar | zstd -3, and skopeo (uncompressed) | tar | zstd -3 --long=27
//	import    install images load against ctr images import, each into a fresh daemon of the same binary
//	init      install init against kubeadm init, each on a fresh host of the lab
//	upgrade   install upgrade apply against kubeadm upgrade apply, with the seconds without API, and an upgrade that fails
//	snapshot  install etcd snapshot save and restore against etcdctl and etcdutl by hand, with 100 MB of keys
//	reset     install reset against kubeadm reset
//
// A number of seconds says nothing on another machine, so no test depends on one, and every goal that is about time is a ratio to
// an opponent that had the same content on the same machine in the same run. The contenders take turns, round by round, and the
// one that begins moves on by one each round, so that what else the machine does hits all of them alike. What stands in the table is
// the median of the rounds.
//
// Everyone gets the same content: all images of a Kubernetes release and of flannel, kubelet, kubectl, crictl and the CNI plugins,
// built and served on loopback by the lab. A registry on loopback flatters whoever does little beside downloading, which is
// the opponents of the build: that is stated and not corrected.
//
// A full run writes docs/benchmarks.md; a run with -only prints its table and leaves the document alone, since its ratios must
// come from one run.
package main
