// Package config reads what a user asks for: flags, and files of kubeadm.k8s.io, v1alpha1 to v1beta4, with KubeletConfiguration and
// KubeProxyConfiguration beside them. It gives one complete structure per command, with every default filled in and every value
// judged, so that nothing behind it ever asks "and if this is empty?".
//
// It is pure: it looks neither at the host nor at the bundle nor at the network. What a default depends on comes in as an
// Environment, files come through a function. So a configuration can be checked anywhere, and a test needs no machine.
//
// It is strict. An unknown field is an error with its line, an unknown apiVersion or kind one that names the known ones: a
// misspelt field that is silently ignored makes a cluster that differs from what its owner believes. All problems are reported at
// once, each with the path of its field, since on a site without network every round costs. A flag that the file can also say is
// refused beside a file, as kubeadm refuses it, for nobody could tell which one counts.
//
// It differs from kubeadm in three points, each a consequence of the air gap. The Kubernetes version is the bundle's, and another
// one is an error instead of a download. A host without default route is normal: its only global address is taken, and several are
// an error that lists them. A discovery file must be a file, because a URL would have to be fetched.
//
// What is promised: a file that this version accepts is accepted by later ones. Secrets (tokens, certificate keys) are in no
// error message. Every error wraps ErrUsage: nothing has been done yet.
package config
