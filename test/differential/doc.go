// Package differential compares a cluster that kubeadm makes with the one that install makes, for every version whose kubeadm builds
// from its module.
//
// Both sides run for real. kubeadm is the real program, in a folder that it takes for its root (chroot) and in a network of its own
// without a way out, from the first to the last phase of `init`, and again for `join`. Ours is the real configuration loader and
// the real phases and steps, on a machine in memory. What is played is only what neither side makes: the API server is a store in
// memory that keeps what it is sent, and `systemctl start kubelet` does what a kubelet does with its certificates (folder standin).
//
// What is compared is all files below /etc/kubernetes and /var/lib/kubelet, as they are when the kubelet starts and at the end, and all
// objects in the store, by meaning: documents are decoded into their types (a zero and a missing field are the same where the type says
// so), lists that are sets are sorted, certificates are taken apart. The two ConfigMaps that joining nodes read are also read by the
// other side: kubeadm joins a cluster of ours, and ours joins kubeadm's.
//
// A difference that stays is a row in table.go with its reason. One that is in no row fails the test; so does a row that has become
// untrue. docs/differences.md is made from the table (go test ./test/differential -update).
//
// The test needs root, for chroot and the network namespace; it mounts nothing and leaves nothing behind.
//
//	KUBEBUNDLE_DIFFERENTIAL=all go test ./test/differential            every version
//	KUBEBUNDLE_DIFFERENTIAL=ci go test ./test/differential             three versions; with CI=true also without the variable
//	KUBEBUNDLE_DIFFERENTIAL=v1.34.4,v1.36.3 go test ./test/differential
//
// What ran, and how it went, is written as JSON to the file that KUBEBUNDLE_DIFFERENTIAL_RESULT names, by default
// differential.json in the lab's folder.
package differential
