// Package release says what a version of Kubernetes is made of: the images that kubeadm of that version would use and under which
// names, the binaries that a node needs with their addresses and published checksums, the architectures that existed, and the
// defaults that changed from version to version.
//
// It is inert data and pure functions. The data is catalog.yaml, embedded, parsed once and checked as a whole; the functions touch no
// network, no host and no clock. Two rules of Kubernetes are code rather than data because they are rules and not facts: how an image
// name is put together, and how a download address is.
//
// # Names
//
// Two names matter for an image. [Image.Ref] is the name that pods of that version carry, letter for letter: k8s.gcr.io until a certain
// patch, an architecture suffix through v1.11, CoreDNS under four different paths. A bundle must import under that name, or the kubelet
// will not find it. [Image.Pull] is where the content can be fetched from today. They differ because k8s.gcr.io is frozen since April
// 2023 and the same content lives on at registry.k8s.io. A custom image repository changes Ref as kubeadm would, and then nothing else
// than that repository is asked.
//
// CoreDNS is the DNS of every version here, also of v1.10, where kubeadm still preferred kube-dns. [Options.KubeDNS] selects kube-dns
// through v1.20, the last version whose kubeadm knew it.
//
// # What is known and what is not
//
// The catalog covers v1.10 to the last line of [Minors]. Every minor carries a confidence: "verified" was read in the source of that minor or in a table
// that its kubeadm generated, "table" comes from another public table, "inferred" follows from neighbours and release notes.
//
//   - A version older than v1.10 is an error, always: those need names and binaries that this package does not have.
//   - A minor newer than the catalog, and any pre-release, is an error that names the newest known version; [Options.AllowUnknown] goes on
//     with the nearest known rules and leaves a warning.
//   - A patch newer than the last one known of its minor follows the rules of that last one and leaves a warning. New patches appear every
//     month, and most change nothing but the version; refusing them would make every release of this program stale in weeks.
//   - An architecture that a version was never published for is an error that lists those that it was.
//
// # Gates and flags
//
// knobs.txt lists every feature gate and every flag of the kubelet and of the control plane's programs with the minors that know it, and since
// when a gate is locked. test/trees reads it from the source of one patch of each minor. A program that is given one that it does not know
// does not start, so [Release.CheckGate] and [Release.CheckFlag] tell before it is given any. They refuse only what they are sure of: a gate of
// a later minor passes for a patch that is newer than the one that was read, and for a minor that is not known everything does.
//
// # Layout of catalog.yaml
//
// One entry per minor. Its `patches` are changes: an entry at `from` holds until the next one and names only what differs. `archSuffix`
// appends the architecture to every name but CoreDNS's. `corednsPath` gives the path below the default registry and below a custom one;
// `corednsFixed`, where it is not empty, is a name that ignores both. `checksums` lists the kinds of checksum files beside the Kubernetes
// binaries, strongest first. `kubelet.maxSkew` counts minors that a kubelet may be behind its API server.
package release
