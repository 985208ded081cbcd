package main

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"

	"kubebundle/installer/host"
	cruntime "kubebundle/runtime"
	"kubebundle/runtime/open"
)

// openRuntime connects to the container runtime behind a CRI socket.
func openRuntime(ctx context.Context, socket string, log *slog.Logger) (cruntime.Runtime, error) {
	return open.Open(ctx, socket, open.Options{Logger: log})
}

// undecided stands for the socket where several runtimes are found; it comes out of a configuration only if the user named none either.
const undecided = "unix:///undecided"

// findSocket looks for the runtime. Where there is none, the one that should be there is taken and preflight says that it is missing.
func findSocket(h host.Reader, dockershim bool) (socket string, several error) {
	isSocket := func(p string) bool {
		fi, err := h.Stat(p)
		return err == nil && fi.Mode()&fs.ModeSocket != 0
	}
	socket, err := open.FindSocket(isSocket, dockershim)
	var ambiguous *open.AmbiguousError
	if errors.As(err, &ambiguous) {
		return undecided, usagef("", "%w", err)
	}
	switch {
	case errors.Is(err, open.ErrNoCRIDockerd):
		return open.CRIDockerd, nil
	case err != nil:
		return open.Containerd, nil
	default:
		return socket, nil
	}
}
