package main

import (
	"context"
	"log/slog"

	cruntime "kubebundle/runtime"
	"kubebundle/runtime/containerd"
)

// openRuntime connects to the container runtime that listens on a CRI socket.
func openRuntime(ctx context.Context, socket string, log *slog.Logger) (cruntime.Runtime, error) {
	return containerd.New(ctx, socket, containerd.Options{Logger: log})
}
