// Package docker imports images into a Docker Engine, for the Kubernetes versions whose kubelet talks to one (dockershim up to v1.23, or
// cri-dockerd).
//
// Docker has no door to its layer store, so the import is one docker-archive, made while the source is read and streamed to /images/load; it is
// never on the disk on our side. Docker unpacks all of the archive before it looks at any of it, and its manifest.json is written last,
// after every digest agreed; so a source that breaks leaves nothing in Docker. Docker checks the layers against the config's diff IDs once more.
//
// What is lost on the way, because docker-archive cannot carry it: the registry's manifest digest. Images are found by tag and by ID
// (the config digest), not as repository@digest. Docker cannot pin images either: the kubelet's image garbage collection may take those
// that no container uses, and a bundle brings them back.
//
// The Engine API is spoken here in the handful of calls that are needed, not through Docker's client library, since that one refuses
// daemons older than 19.03 and the hosts of Kubernetes v1.10 run Docker 17.03. All calls are there since API 1.24 (Docker 1.12).
package docker
