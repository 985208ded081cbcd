// Package sbom lists what a bundle is made of, as an SPDX 2.3 document: every image, every file, every program inside
// the images, the Go modules that each program was built from, and the Debian packages of the images' layers.
//
// Nothing is taken from anybody's word but the program's own: the modules are what the Go linker wrote into the ELF
// file (debug/buildinfo), the packages what dpkg's database in the layer says, the digests those of the contract. A
// program without build information (not Go, or built before Go 1.18 as Kubernetes up to v1.23 was, with modules from
// v1.13 on at best) is listed with its digest and nothing else.
//
// The whole is one pass over the payload. One program at a time lies in a temporary file without a name, because
// build information is found by offsets; memory does not grow with the bundle. Every digest is checked on the way, so
// a damaged bundle has no SBOM.
//
// The same bundle gives the same document: it is created when the bundle was (SOURCE_DATE_EPOCH of its build, else
// 1980), its namespace ends with the digest of the contract, its lists are sorted. Licences are not asserted.
package sbom
