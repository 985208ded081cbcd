// Package buildertest is a small upstream for tests: an in-process registry and file server that hold everything a
// build asks for, with tiny programs that are ELF files and nothing else. Both can be told to misbehave.
package buildertest
