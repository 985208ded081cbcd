// Package open leads from the socket that a kubelet is given to the runtime's image store behind it, and finds that socket as kubeadm does.
//
// The two are not always one: behind dockershim and cri-dockerd stands a Docker Engine with an API socket of its own, and only there can
// images be loaded.
package open
