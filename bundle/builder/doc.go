// Package builder composes a bundle: it asks release what a version of Kubernetes is, imagestore for the content,
// manifests for the kubelet's units, and hands everything to bundle.Write.
//
// # Plan, then Build
//
// Plan needs no network unless a manifest or a chart comes from one. It says every image with who asks for it, every binary with its
// address, and finds the user's mistakes: an unknown version or architecture, a manifest that is not YAML, a container
// without an image (file and line), an installer for another architecture. Build does what the plan says.
//
// # Images of extra manifests
//
// Extra manifests travel as the exact bytes that were given; charts are rendered by package chart. Package needs finds their images; what it cannot find, such
// as a template inside a ConfigMap, is named with Request.Images.
//
// # Streaming
//
// A layer goes from the registry to the cache (compressed), and from there through gunzip, digests and the encoder to the
// output. It is decompressed once, a few MiB ahead of the encoder. A tar header holds the size, which nobody publishes:
// gzip's trailer gives it nearly always, a layer whose trailer cannot be right is unpacked once more to measure it,
// and if a guess proves wrong, the payload is begun again without guesses. There is no temporary copy of a layer, and
// members of archives (CNI plugins, crictl) are read from the archive in the cache.
//
// # What is checked
//
// Digests and published checksums by imagestore; the ELF header of every program against the architecture, also inside the layers, while they
// stream past (docs/architectures.md says what passes); that the installer is a static program; that the contract holds every image that the
// installation can ask for.
package builder
