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
//   - The kubelet gets --pod-infra-container-image with every runtime, as long as it knows that flag (until 1.34; kubeadm: only with
//     docker until 1.20): a pause image that was collected as garbage could not come back.
//   - --hostname-override is passed unless Node.Hostname is known to equal the node's name.
//   - Component configuration documents hold only what kubeadm decides and what the user gave, not a zero for every other field: so
//     the same code serves programs that do not know today's fields, and each program's own defaults apply.
//   - The user's KubeletConfiguration and KubeProxyConfiguration are kept as given, unknown fields included.
//   - For v1.10, whose kubelet takes flags only, the site's values are in a second drop-in, 20-kubebundle.conf.
//   - A subject alternative name that is neither an address nor a DNS name is an error; kubeadm warns and leaves it out.
//   - The Role kubeadm:nodes-kubeadm-config exists in all versions (kubeadm: since 1.12), because our join reads that ConfigMap.
//   - The flexvolume folder is always mounted until 1.35 (kubeadm until 1.16: only where the host has it).
//   - CoreDNS on a host without name servers gets a Corefile that forwards nothing; see DNS.
//   - A user's extra arguments keep their order after the sorted defaults in all versions.
//
// What is kubeadm's choice and stays so: failCgroupV1 is never set for the user, even on a host with cgroup v1 where a kubelet since
// 1.35 refuses to start without it; preflight tells.
//
// # Encoding
//
// Encode writes YAML once, at the edge: apiVersion and kind first, then sorted keys, no status and no empty creationTimestamp.
// Equal input gives equal bytes. No YAML is ever produced from a text template; the Corefile is not YAML and is built line by line.
package manifests
