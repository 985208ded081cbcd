// Package crash kills the installer with SIGKILL before and after every step of its workflows, on real hosts with real Kubernetes, and runs the
// same command again until it comes to its end. Then the host, the cluster and the journal must equal those of an undisturbed run, and after
// a reset that was killed as often the host must equal the one that nothing was ever installed on.
//
// One chain of runs does for a workflow: every run is killed at the first moment at which none was killed before, so it comes one moment further
// than the last one. The moments are those at which the installer tells what it does (-o json): it says that a step runs when the intent is in
// the journal and nothing was done, and that it is done when it was done and the journal says so. The installer is held there by a pipe that
// has room for one message and is full: it waits in the kernel, its message still in its own memory, where the test reads it (held.go). So a kill
// comes exactly there, without a word about it in the product.
//
// Which steps there are is known from an undisturbed run on another host. A step of it that no run of the chain was killed at, before and
// after, is a failure of the test.
package crash
