// Package host is the installer's only door to a machine: its files, its commands, its systemd units.
//
// Host is made of four small interfaces. A Plan sees only Reader, so planning cannot change anything; a step sees all of them. There
// are three machines behind the door. Local is this one. Rooted is a directory tree that is not running: every path is resolved
// inside it, absolute symbolic links included, units are enabled by their links, nothing is started and commands are refused. Memory
// is for tests: files in a map, units that remember what was done to them, commands that are written down. Recording stands in
// front of any of them and writes down every change. The suite in hosttest says what all of them promise, and is run on all.
//
// What the package promises about files: a write is whole or it did not happen. Content goes to a neighbour named
// ".NAME.kubebundle", is synced, gets its exact mode whatever the umask says, and is renamed over the target; then the directory is
// synced. The neighbour's name is always the same, so a write that was killed leaves at most one, and writing or removing the same
// file again clears it away. A symbolic link at the target is replaced, never followed.
//
// What it refuses: relative paths, and secrets in command lines (Command.Stdin is there for them).
package host
