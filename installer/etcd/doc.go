// Package etcd talks to the members of a cluster's own etcd: who belongs to it, who is healthy, who joins and who leaves. It is the
// installer's only user of etcd's libraries.
//
// It connects over the dialer that it is given, to the members that the cluster names: a further control plane has to reach the others' etcd
// whatever the installer does, since its own member will.
//
// Joining is safe to repeat. A member is known by its peer URL: one that is there already, however far it has come, is not added again.
// Where the version has learners, a member joins as one, so that a node which dies while it joins takes no vote away from the others.
//
// It also takes snapshots, reads them and makes data directories of them, with the library of etcd's own etcdutl. A snapshot file is not at
// its name before its checksum was right and its database was read to the end, and none is restored that does not pass the same. Snapshots are
// files of whoever gave their names, so they are opened where the program runs and not on the host that is installed.
package etcd
