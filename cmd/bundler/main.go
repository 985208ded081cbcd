package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() { os.Exit(program()) }

// program is the whole process but its end, so that the scripts of the tests can run it.
func program() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	go func() {
		<-ctx.Done()
		stop() // the first signal ends work in order; a second one finds no handler and kills
	}()
	exe, _ := os.Executable() // without it the installer is looked for in the current folder
	a := &app{out: os.Stdout, err: os.Stderr, getenv: os.Getenv, executable: exe}
	return a.run(ctx, os.Args[1:])
}
