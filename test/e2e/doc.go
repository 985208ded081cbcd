// Package e2e is the whole promise, tried on real hosts: a bundle is built from real images, carried to hosts without a network, and installed
// there with real systemd, containerd, etcd and Kubernetes. Nothing is a mock.
//
// Each behaviour is a folder with one Test function. They share one cluster, because making one takes longer than asking it all
// questions; e2e_test.go lists them in the order in which one cluster can show them. What they break they break on hosts of their own.
package e2e
