// Package manifests renders everything Kubernetes reads at the start of its life: static pods, kubeconfigs, kubelet files and
// units, the ConfigMaps and RBAC objects that kubeadm keeps in a cluster, CoreDNS (or kube-dns) and kube-proxy.
//
// Every function is pure: configuration in, typed objects or bytes out. Nothing here looks at the host, the clock, the
// network or a random source, so a dry run renders exactly what an install would write, and a golden file can hold all of it.
// What the host looks like (its CA folders, resolv.conf, proxy variables) comes in through Node.
//
// # Versions
//
// One set of functions serves Kubernetes v1.10 to the newest minor. Facts that depend on the version are rows of small tables
// (a span of minors and a value: see span and argRow) or one-line predicates next to the artefact they shape. A new minor that
// changes nothing needs no change here; one that changes a flag needs one row. The source of a fact is the kubeadm of that minor,
// read as documentation; "kubeadm 1.34 phases/etcd" in a comment means cmd/kubeadm/app/phases/etcd in that release's tree.
//
// # Equal to kubeadm, by meaning
//
// A cluster built from these objects is meant to be one that kubeadm itself can go on to manage. Deliberate differences:
//
//   - The kubelet always gets --node-ip, because a host without a default route cannot find its own address.
//   - Component configuration documents hold only what kubeadm decides and what the user gave, not a zero for every other field: so
//     the same code serves kubelets that do not know today's fields, and the program's own defaults apply.
//   - The user's KubeletConfiguration and KubeProxyConfiguration are kept as given, unknown fields included.
//   - CoreDNS on a host without name servers gets a Corefile that forwards nothing; see DNS.
//   - --hostname-override is passed whenever Node.Hostname is not known to equal the node's name.
//   - Names of a user's extra arguments keep their order after the sorted defaults, for all versions (kubeadm: since 1.36).
//
// # Encoding
//
// Encode writes YAML once, at the edge: apiVersion and kind first, then sorted keys, no status and no empty creationTimestamp.
// Equal input gives equal bytes. No YAML is ever produced from a text template; the Corefile is not YAML and is built line by line.
package manifests
