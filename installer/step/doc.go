// Package step holds the effects that an installation is made of, as values: write this file, start this unit, load these images, apply
// these objects. A phase plans them, the engine decides whether they are needed and applies them, and here is what each means.
//
// Every step can say what it does in one line without ever showing a secret, can look whether its effect is there already, and can be
// applied again after it was killed half-way. Steps that change the host also describe, before they act, what they are about to
// change as it is now (Record); from those records alone reset can lead a host back, with a later version of this program, long
// after the step that made them is gone. A record never holds content, only where a copy of it is kept.
//
// A step knows nothing of Kubernetes versions, of configuration, or of whether this is a dry run.
package step
