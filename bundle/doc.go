// Package bundle is the file format of kubebundle: one .tar.gz that holds everything a host without a network needs
// to become a Kubernetes node.
//
// # The format
//
// A bundle is called k8s-<version>-linux-<arch>.tar.gz and has one top folder of the same name:
//
//	install                static program for the target architecture
//	bundle.json            the contract: every image, every file, every digest, what a host needs
//	bundle.json.minisig    optional signature of bundle.json
//	SHA256SUMS             for sha256sum -c
//	README.txt             the three commands
//	payload.tar.zst        one zstd stream, window at most 128 MiB
//
// The payload is a tar of four kinds of entries, in this order: files under their own paths (bin/kubelet,
// cni/bridge, systemd/kubelet.service, manifests/01-kube-flannel.yml, include/etc/motd), blobs (blobs/sha256/<hex>: indexes, manifests
// and configs, byte for byte as the registry had them), signatures (signatures/sha256/<hex>: what the images' publishers have signed, as the
// registry had it, carried along and never imported) and layers (layers/sha256/<hex>: each diff ID once,
// uncompressed, parents before the layers that lie on them wherever the images agree on who lies on whom).
//
// Layers are stored uncompressed because zstd finds nothing in gzip data, while programs built from one source tree
// share a third of their bytes once they lie within one window. Nothing is lost by it: the registry's manifest names
// the config, the config names the diff IDs, and a diff ID is the SHA-256 of what is stored. A reader checks that
// whole chain.
//
// The outer file is gzip because a host from 2018 has no zstd. It is a chain of gzip members: the small files are
// deflated, the payload is stored, so unpacking costs a copy.
//
// A bundle may be cut into parts (WriteOptions.PartSize, OpenParts): the bytes of the file in pieces, and a list of them.
//
// # Deltas
//
// A delta (format 2, WriteOptions.Base) leaves out what another bundle, its base, holds already, and has patches for what
// changed. Its contract is that of the whole bundle, plus Delta: the base's content digest, and which entries come from it.
// With UseBase a delta reads like a whole bundle: everything is checked against the same digests. What is small is always
// packed, so that without the base a delta still tells its images and its manifests.
//
// # What a reader refuses
//
// A format number it does not know (the error names it), a digest or a size that differs from the contract, an entry
// that is not in the contract, one that is there twice, one that is missing, anything but a regular file, a path that
// would leave the folder, a window over 128 MiB, data after the end. It never panics on any input (there are fuzz
// targets) and needs twice the window plus a few MiB of memory however large the bundle is; for a delta that much for each
// of both, and the one old file that is being patched, of at most 256 MiB. All that is a *CorruptError; another base than
// the delta's is a *BaseError.
// An entry is not finished before its digest agreed: PayloadReader.Read returns io.EOF only then.
//
// # What a writer promises
//
// Same contract, same contents, same options: same bytes. Times are fixed (or SOURCE_DATE_EPOCH), users and modes are
// fixed, and an Encoder gives the same bytes under the same name (package encoder has the real one). The output appears
// under its name when it is complete and on disk, or not at all.
//
// # A promise about old bundles
//
// Whatever a release of kubebundle has written, every later release reads. A change that an older reader would
// misunderstand gets a new format number; fields that an older reader may ignore do not.
package bundle
