package main

import (
	"context"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"

	"kubebundle/bundle/trust"
	"kubebundle/installer/host"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	go func() {
		<-ctx.Done()
		stop() // the first signal ends work in order; a second one finds no handler and kills
	}()
	a := &app{in: os.Stdin, out: os.Stdout, err: os.Stderr, host: host.NewLocal(), environ: os.Environ(), runtime: openRuntime, pinned: trust.Pinned}
	code := a.run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}
