// Package ha holds the tests of a highly available cluster: three control planes behind a virtual IP, made by `install init --vip` and
// `install join --control-plane` on hosts without a network. kubeadm's own suite passes on it. A control plane leaves and returns, all three are
// upgraded, the data of all is destroyed and restored, and the holder of the address loses its power: the API answers through the address again, and
// whoever was told that something was written finds it written.
//
// They run with KUBEBUNDLE_E2E=1 (`make test-ha`), as root.
package ha
