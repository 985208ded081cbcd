// Package cluster talks to the Kubernetes API: it is the installer's only user of client-go, and it holds the installer's only dialer.
//
// # The dialer
//
// An air-gapped installer that asks the network for anything has a bug, and the bug shows itself late: as a timeout, on a site
// where nobody can help. So Dialer turns the promise into an error. It connects to loopback, to this machine's own addresses and
// to the hosts that the user named, and refuses everything else at once with a sentence that names the address. It resolves only
// names that the user gave. It uses no proxy, whatever the environment says. It counts what it was asked for, so that a test
// can prove that there was nothing else.
//
// # Applying objects
//
// Apply means: every field that we set has our value; whatever others set stays. That is what server-side apply gives on a
// current server, but a bundle may hold a server from 2018, so it is GET, overlay, POST or PUT here. The overlay merges mappings and
// replaces lists; "already applied" means that laying our object over the live one changes nothing, so that defaults filled in by the
// server do not count as a difference. Conflicts, a server that is just starting, and rights that have not been granted yet are
// waited for, within the context's time and a limit of our own.
//
// # Discovery
//
// A joining node knows an address, a token and the pin of a CA. DiscoverByToken believes nothing it reads before both proofs are made:
// the signature by the token's secret, and a second reading over TLS that is verified with the pinned CA and must give the same
// bytes. Each way to fail is an error kind of its own, with the command that fixes it.
//
// # What is promised
//
// Everything works against API servers from v1.10 on. Secrets (tokens, keys) are in no error message and in no log.
package cluster
