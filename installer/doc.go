// Package installer turns a bundle into a node: it runs workflows of phases, keeps a journal of what it did, and takes it back.
//
// A workflow is a slice of phases (Init, Join), read from top to bottom. A phase plans, a step acts, and the Engine of this package
// decides: it asks each phase for its steps just before they are due, asks each step whether its effect is there already, and only
// where it is not writes the intent into the journal, applies the step and writes that it is done. That one loop gives dry runs
// (the same loop without the last part), re-runs after a crash (what is there is passed over), single phases, skipped phases, and
// reset: the journal names everything that was changed, as it was before, so reset walks it backwards. No phase and no step knows
// that any of these exist.
//
// The journal is /var/lib/kubebundle/journal: one JSON object per line, appended and synced, mode 0600, never a secret in it. Its
// form is a promise: a later version of this program resets what an earlier one installed. A last line that a crash tore off is
// dropped; it described a step that had not begun. What the installer replaced without having written it is kept below
// /var/lib/kubebundle/backup until reset puts it back.
//
// Reset never stops at the first error, and it also works on a node without a journal: a fixed sweep follows the walk, the list that
// `kubeadm reset` has.
//
// The package knows no terminal. What happens is told as Events; errors say what is wrong and carry a hint (see Hint), and their types
// say what a command's exit code should be.
package installer
