package arm64

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"sync"

	"kubebundle/test/lab/hosts"
)

// standinFile names the file to which the stand-in writes what it was sent.
const (
	standinFile    = "KUBEBUNDLE_ARM64_STANDIN"
	standinAddress = "127.0.0.1:8080"
)

// standIn plays an empty API server while a command runs: it has nothing, takes everything, and keeps what it was sent, an object a line. It is this
// package's test program under another name, so that it can be started in the command's own network.
func standIn(ctx context.Context, file string, argv []string) int {
	out, err := os.Create(file)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	l, err := net.Listen("tcp", standinAddress)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	var mu sync.Mutex
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.Method == http.MethodGet {
			w.WriteHeader(http.StatusNotFound)
			_ = json.NewEncoder(w).Encode(map[string]any{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": http.StatusNotFound})
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the client is gone, and will say so
		}
		mu.Lock()
		defer mu.Unlock()
		_, _ = fmt.Fprintf(out, "%s\n", body) // a line that is missing is an image that is missing
		w.WriteHeader(http.StatusCreated)
		_, _ = w.Write(body)
	})}
	go func() { _ = server.Serve(l) }() // until the command ends
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	err = cmd.Run()
	mu.Lock()
	defer mu.Unlock()
	if err := errors.Join(out.Close(), server.Close()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return hosts.ExitCode(err)
}
