// Package serve is a registry and a file server on loopback: the place of registry.k8s.io, ghcr.io, dl.k8s.io and
// github.com for tests. Both are http.Handlers over content that is handed in; nothing is written.
package serve

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"sync/atomic"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Image is a tag and every manifest behind it. Digests[0] is what the tag points at.
type Image struct {
	Repository, Tag string
	Digests         []string
}

// Content is what is served.
type Content struct {
	Blob   func(digest string) string // where a blob lies on disk, manifests among them
	Images []Image
	Files  map[string]string // URL path -> file
}

// Server runs until Close.
type Server struct {
	Registry string // host:port of the registry, plain HTTP
	Files    string // host:port of the file server, plain HTTP

	requests atomic.Int64
	servers  []*http.Server
}

// Start listens on two free ports of loopback.
func Start(ctx context.Context, c Content, l *slog.Logger) (*Server, error) {
	if l == nil {
		l = slog.New(slog.DiscardHandler)
	}
	reg, err := registryHandler(c)
	if err != nil {
		return nil, err
	}
	s := &Server{}
	if s.Registry, err = s.listen(ctx, reg, l); err != nil {
		return nil, err
	}
	if s.Files, err = s.listen(ctx, fileHandler(c.Files), l); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Server) listen(ctx context.Context, h http.Handler, l *slog.Logger) (string, error) {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("listen on loopback: %w", err)
	}
	srv := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s.requests.Add(1)
			l.Debug("request", "method", r.Method, "path", r.URL.Path)
			h.ServeHTTP(w, r)
		}),
		ReadHeaderTimeout: 10 * time.Second,
	}
	s.servers = append(s.servers, srv)
	go srv.Serve(ln) //nolint:errcheck // ends with Close
	return ln.Addr().String(), nil
}

// Requests is how many requests both servers have had.
func (s *Server) Requests() int64 { return s.requests.Load() }

// Close stops both servers.
func (s *Server) Close() error {
	var errs []error
	for _, srv := range s.servers {
		errs = append(errs, srv.Close())
	}
	return errors.Join(errs...)
}

// registryHandler is go-containerregistry's registry with our blobs on disk and our manifests pushed into it.
func registryHandler(c Content) (http.Handler, error) {
	reg := registry.New(registry.WithBlobHandler(blobs(c.Blob)), registry.Logger(log.New(io.Discard, "", 0)))
	for _, img := range c.Images {
		// Children before the index that names them.
		for i := len(img.Digests) - 1; i >= 0; i-- {
			ref := img.Digests[i]
			raw, err := os.ReadFile(c.Blob(ref))
			if err != nil {
				return nil, fmt.Errorf("serve %s:%s: %w", img.Repository, img.Tag, err)
			}
			if i == 0 {
				ref = img.Tag
			}
			if err := push(reg, img.Repository, ref, raw); err != nil {
				return nil, fmt.Errorf("serve %s:%s: %w", img.Repository, img.Tag, err)
			}
		}
	}
	return reg, nil
}

func push(reg http.Handler, repo, ref string, raw []byte) error {
	var m struct {
		MediaType string `json:"mediaType"`
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		return err
	}
	req := httptest.NewRequest(http.MethodPut, "/v2/"+repo+"/manifests/"+ref, bytes.NewReader(raw))
	req.Header.Set("Content-Type", m.MediaType)
	w := httptest.NewRecorder()
	reg.ServeHTTP(w, req)
	if w.Code != http.StatusCreated {
		return fmt.Errorf("put manifest %s: %d %s", ref, w.Code, w.Body)
	}
	return nil
}

// blobs reads blobs from disk. It has no Put: the registry is for reading.
type blobs func(digest string) string

func (b blobs) Get(_ context.Context, _ string, h v1.Hash) (io.ReadCloser, error) {
	f, err := os.Open(b(h.String()))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, registry.ErrNotFound
	}
	return f, err
}

func (b blobs) Stat(_ context.Context, _ string, h v1.Hash) (int64, error) {
	fi, err := os.Stat(b(h.String()))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, registry.ErrNotFound
	}
	if err != nil {
		return 0, err
	}
	return fi.Size(), nil
}

func fileHandler(files map[string]string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f, ok := files[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		http.ServeFile(w, r, f)
	})
}
