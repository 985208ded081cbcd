// Package encoder makes the zstd stream of a payload. It is the one place where the builder's side uses C: libzstd, in the
// version that go.mod pins, compiled from the sources in that module and linked into bundler. Readers need none of it.
//
// # Why C
//
// What makes a bundle small is that the programs of Kubernetes come from one source tree: a third of each of them is in
// another one, up to 128 MiB back. The Go encoder finds that at its slowest level alone, on one core. libzstd has a matcher for
// long distances and tables of any size, so that each [Compression] finds it, and it can use several cores for one frame.
// What was measured is in docs/adr/0010-libzstd-encodes.md.
//
// # What is promised
//
// The same input gives the same bytes: every parameter that has an influence is set here, none is left to a default that
// depends on the machine; the number of cores is used for speed only. [Encoder.Name] names the library's version and
// the compression; a change of either is a change of bytes, and the contract records it. Whoever updates the module or touches the
// parameters changes the digest of every bundle: the test with the golden digests is there to say so.
//
// # Without cgo
//
// A program that is built without cgo has no encoder: [New] gives an [UnavailableError]. There is no second encoder to fall
// back to, because then two people with the same bundler would get different bytes.
package encoder
