// Package upstream makes the part of the internet that bundler needs, out of Go modules: real Kubernetes programs, etcd,
// CoreDNS, flannel, CNI plugins, packed into images and release files under upstream's names, and served on loopback.
//
// Nothing is a mock. kube-apiserver is kube-apiserver, built from k8s.io/kubernetes with the flags of upstream's own build. What
// cannot be had as a module is replaced by a stand-in that says so: crictl, and the tags of etcd and of the CNI plugins that
// do not resolve hold the nearest version that does (the image's label "kubebundle.lab" names it).
//
// A folder per module (test/lab/upstream/NAME-VERSION, or the bare version for Kubernetes) pins everything with go.mod and
// go.sum. A further Kubernetes version is a further folder.
//
// Images are built as docker builds them: a base layer that all share, one layer per program, gzip, docker's media types, an index
// over several architectures. Bundler reaches all this through its public mirror flags only, so what is tested is what a person uses.
package upstream
