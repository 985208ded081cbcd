// Package clusters makes Kubernetes clusters of lab hosts: with our own bundle, as a person would do it, or with kubeadm, which is the
// yardstick. Both get the same images, the same configuration and the same hosts.
//
// What only this lab needs stands here and in the hosts package, and goes to the installers through their public --config:
// disk and memory thresholds for a machine that is small and nearly full, no conntrack sysctls where they cannot be written.
package clusters
