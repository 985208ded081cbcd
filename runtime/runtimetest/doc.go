// Package runtimetest is the conformance suite of runtime.Runtime, and what it takes to run it against real daemons: a maker of small images,
// sources that break in chosen ways, and starters of private containerd and Docker daemons that touch nothing of the machine's own.
//
// An implementation's test starts its daemon and calls [Run]:
//
//	func TestConformance(t *testing.T) {
//		runtimetest.Integration(t)
//		d := runtimetest.StartDocker(t, "dockerd")
//		runtimetest.Run(t, func(t *testing.T) runtimetest.Host { … })
//	}
package runtimetest
