package installer

import "kubebundle/installer/phase"

// Init is `install init`, top to bottom.
func Init() []phase.Phase { return phase.InitPhases() }

// Join is `install join` of a worker, top to bottom.
func Join() []phase.Phase { return phase.JoinPhases() }
