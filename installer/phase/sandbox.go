package phase

import (
	"time"

	"kubebundle/installer/host"
	cruntime "kubebundle/runtime"
)

// runtimeRestart is how long a restarted runtime may take until it answers; it first looks after the containers that go on running.
const runtimeRestart = 90 * time.Second

// sandboxEdit is the runtime's configuration with the bundle's sandbox image.
func sandboxEdit(_ host.Reader, _ cruntime.Info, _ string) (ConfigEdit, error) {
	return ConfigEdit{}, errNoSandboxEdit
}
