// Package imagestore brings images and files from the network into a local cache, and gives out only what it has verified.
//
// It is the one home of go-containerregistry, and the only package of the builder that speaks to the network. It knows nothing about
// Kubernetes and nothing about the bundle format.
//
// # Resolve, Fetch, Open
//
// [Store.Resolve] turns a tag into an [Image]: tag, index, the platform's manifest, config. These documents are kept byte for byte, each one
// checked against the digest by which it was named, so that digests and signatures keep their meaning. [Store.Fetch] brings the layers into
// the cache, each once however many images share it, several at a time. [Store.Open] streams a layer's uncompressed tar and says io.EOF only
// if both digests were right: that of the compressed blob, which the manifest names, and that of the tar, which the config names. What was
// read before an error must be thrown away. [Store.GuessSize] tells beforehand how long it may become. [Store.Download] does the same for plain files that have a published checksum beside them.
//
// # The cache
//
//	blobs/sha256/<2>/<64>    verified content, read only
//	partial/<digest>         a file being written, or what a killed process left of one
//	known/<kind>-<hex>       the sha256 of a file whose published checksum is of another kind
//
// A file appears under blobs or known only whole: written to partial, hashed, synced, renamed. Nothing temporary has another name or lies elsewhere, so
// that a killed process leaves nothing which a later one for the same content does not take over. A partial file is locked by its process; another process
// waits and then finds the blob. One that is left over is continued with a range request, and if the whole then has the wrong digest, it is
// thrown away and fetched from the start. Nothing under blobs is trusted because it is there: it is hashed before its first use in a process, and
// again while it is read. A file that does not match its name is removed and fetched again. The whole directory can be deleted whenever no process
// uses it: that costs time, nothing else. Nothing in it is secret, and it never shrinks by itself.
//
// # The network
//
// Requests are repeated after timeouts, broken connections, 429 and 5xx, with growing pauses, and never after 401, 403 and 404. A download that
// made progress starts counting anew. A mirror replaces what it stands for: there is no silent way back to the original. Plain HTTP is spoken
// to loopback addresses and to registries listed as insecure, and to nobody else. Proxies come from the environment, credentials from the
// docker and podman configuration, and neither appears in an error.
//
// # What is refused
//
// Manifests of Docker schema 1, digests other than sha256, layers that live outside the registry ("foreign"), encrypted layers and media types
// that nobody here can unpack, an index without the platform. A config that names another architecture than its index entry is not refused
// outright, since well known images were published that way: the ELF header of the program that the image starts decides; see [Store.CheckArch].
package imagestore
