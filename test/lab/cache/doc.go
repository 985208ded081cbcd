// Package cache is the lab's memory between runs: programs, images and root trees are slow to make and never change for
// the same inputs, so each is made once and found again under a key that names its inputs.
//
// An entry is a folder. It is filled beside its final place and renamed when it is complete, so a run that is killed
// half-way leaves a folder that the next run throws away, and never one that it trusts.
package cache
