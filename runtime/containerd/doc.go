// Package containerd imports images into containerd 1.6, 1.7 and 2.x by the shortest way that keeps every digest.
//
// # The import
//
// An ordinary import writes compressed layers into containerd's content store, reads them back, inflates them and applies them to
// snapshots. A bundle has the layers uncompressed, so this package applies them to snapshots at once, while they arrive: Prepare a snapshot
// on the parent's chain ID, apply the tar with containerd's own archive code to the folder that containerd handed out, compare the hash with
// the diff ID, Commit under the chain ID. Index, manifest and config go into the content store as the exact upstream bytes. So integrity
// holds end to end (manifest digest, config digest, diff IDs, bytes applied) and the images have the digests that the registry gave
// them, though the compressed layers never existed here. Price: what needs those compressed blobs (ctr images push or export) says that
// content is missing, and a node cannot change its snapshotter without loading the images again.
//
// A layer usually arrives after its parents. Where it does not (the same layer on two different parents, the empty layer twice in one image)
// it is put down in the content store and applied from there by containerd's diff service when its parent is ready. The
// same way serves every layer where this process cannot write into snapshots: snapshotters other than overlayfs and native, daemons in
// another mount namespace, user namespaces. Digests stay the upstream ones there too; it costs a copy.
//
// # Crash safety
//
// One lease, with an expiry, covers everything from the first snapshot to the last image record, so the garbage collector takes nothing while
// the import runs, and takes all of it when the import failed. Image records are created last, after one syncfs on the snapshots'
// file system: no name leads to data that a power cut can still lose. The lease carries the kernel's boot ID. An import killed
// within this boot left good snapshots, which the next one uses; one that was cut by a power failure may have left
// snapshots whose files were never written, so the next import first deletes its lease and, with it, whatever no image needs.
//
// # What CRI sees
//
// The names that a CRI pull would have made (tag, repository@digest, config digest), marked as managed by CRI and pinned, so that the
// kubelet's image garbage collection leaves alone what no registry could bring back. Load returns after CRI answers for them. Pinning needs
// containerd 1.7; 1.6 ignores the label.
package containerd
