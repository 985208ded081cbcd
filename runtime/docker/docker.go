package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	cruntime "kubebundle/runtime"
	"kubebundle/runtime/cri"
)

// DefaultSocket is where Docker listens unless told otherwise.
const DefaultSocket = "unix:///var/run/docker.sock"

// Options tell New what differs from the usual.
type Options struct {
	// CRI is the socket at which cri-dockerd serves CRI for this engine; "" where the kubelet does so itself (dockershim).
	CRI string
	// Logger receives what is worth knowing afterwards. nil discards.
	Logger *slog.Logger
}

// Runtime is a connection to one Docker Engine.
type Runtime struct {
	socket string // a path
	cri    string
	http   *http.Client
	prefix string // /v1.41, the daemon's own API version
	server version
	log    *slog.Logger
}

var _ cruntime.Runtime = (*Runtime)(nil)

type version struct{ Version, APIVersion string }

// New connects to the Docker Engine that listens on socket ("unix:///path" or "/path"; "" is [DefaultSocket]).
func New(ctx context.Context, socket string, opts Options) (*Runtime, error) {
	if socket == "" {
		socket = DefaultSocket
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	path := strings.TrimPrefix(socket, "unix://")
	r := &Runtime{socket: path, cri: opts.CRI, log: opts.Logger, http: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", path)
		},
		DisableCompression: true,
	}}}
	if err := r.get(ctx, "/version", &r.server); err != nil {
		return nil, errors.Join(fmt.Errorf("connect to docker at %s: %w (is it running? try: systemctl start docker)", path, err), r.Close())
	}
	r.prefix = "/v" + r.server.APIVersion
	return r, nil
}

// Close closes the connections.
func (r *Runtime) Close() error {
	r.http.CloseIdleConnections()
	return nil
}

// info is the part of /info that matters.
type info struct {
	DockerRootDir string
	CgroupDriver  string
	DriverStatus  [][2]string
}

// containerdStore says that Docker keeps its images in containerd, where an image's ID is no longer the digest of its config.
func (i info) containerdStore() bool {
	return slices.Contains(i.DriverStatus, [2]string{"driver-type", "io.containerd.snapshotter.v1"})
}

// ErrNoCRI is wrapped by Info's error where Docker answers and the cri-dockerd in front of it does not.
var ErrNoCRI = errors.New("cri-dockerd does not answer")

// Info implements cruntime.Runtime. Docker has no sandbox image of its own: the kubelet or cri-dockerd names it.
func (r *Runtime) Info(ctx context.Context) (cruntime.Info, error) {
	var i info
	if err := r.get(ctx, "/info", &i); err != nil {
		return cruntime.Info{}, fmt.Errorf("ask docker at %s about itself: %w", r.socket, err)
	}
	v, _, _ := strings.Cut(r.server.Version, "+") // Debian appends +dfsg1
	info := cruntime.Info{Name: "docker", Version: v, Socket: "unix://" + r.socket, CRI: r.cri, CgroupDriver: i.CgroupDriver, Root: i.DockerRootDir}
	if r.cri != "" {
		about, err := cri.Ask(ctx, r.cri)
		if err != nil {
			return cruntime.Info{}, fmt.Errorf("%w at %s: %w", ErrNoCRI, r.cri, err)
		}
		info.SandboxImage, info.TellsDriver = about.SandboxImage, about.CgroupDriver != ""
	}
	return info, nil
}

// image is the part of an image's inspection that matters.
type image struct {
	ID       string `json:"Id"`
	RepoTags []string
	RootFS   struct{ Layers []string }
}

// Missing implements cruntime.Runtime.
func (r *Runtime) Missing(ctx context.Context, images []cruntime.Image) ([]cruntime.Image, error) {
	var i info
	if err := r.get(ctx, "/info", &i); err != nil {
		return nil, fmt.Errorf("ask docker at %s about itself: %w", r.socket, err)
	}
	var missing []cruntime.Image
	for _, img := range images {
		if err := img.Validate(); err != nil {
			return nil, err
		}
		name, err := tag(img)
		if err != nil {
			return nil, err
		}
		got, err := r.inspect(ctx, name)
		if err != nil {
			return nil, fmt.Errorf("look for image %s: %w", img.Ref, err)
		}
		same := got.ID == img.Config.Digest
		if i.containerdStore() {
			// Docker made a manifest of its own, and the ID is that one's digest.
			same = got.ID != "" && slices.Equal(got.RootFS.Layers, img.DiffIDs)
		}
		if !same {
			missing = append(missing, img)
		}
	}
	return missing, nil
}

// inspect gives the zero image if there is none.
func (r *Runtime) inspect(ctx context.Context, name string) (image, error) {
	var got image
	err := r.get(ctx, "/images/"+name+"/json", &got)
	if s := (*statusError)(nil); errors.As(err, &s) && s.code == http.StatusNotFound {
		return image{}, nil
	}
	return got, err
}

// tag is the name that the image gets; docker-archive knows no other.
func tag(img cruntime.Image) (string, error) {
	n, err := img.Names()
	if err != nil {
		return "", err
	}
	if n.Tag == "" {
		return "", fmt.Errorf("image %s: docker can load images by tag only", img.Ref)
	}
	return n.Tag, nil
}

// Remove implements cruntime.Runtime.
func (r *Runtime) Remove(ctx context.Context, refs []string) error {
	var errs []error
	for _, ref := range refs {
		resp, err := r.do(ctx, http.MethodDelete, "/images/"+ref, nil)
		if err == nil {
			err = resp.Body.Close()
		}
		if s := (*statusError)(nil); errors.As(err, &s) && s.code == http.StatusNotFound {
			continue
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("remove image %s: %w", ref, err))
		}
	}
	return errors.Join(errs...)
}

// statusError is an answer that says no.
type statusError struct {
	code    int
	message string
}

func (e *statusError) Error() string {
	if e.message == "" {
		return http.StatusText(e.code)
	}
	return e.message
}

// do makes a call; the answer's body is the caller's to close. No name of a host is resolved: the dialer knows only the socket.
func (r *Runtime) do(ctx context.Context, method, path string, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://docker"+r.prefix+path, body)
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/x-tar")
	}
	resp, err := r.http.Do(req)
	if err != nil {
		if u := (*url.Error)(nil); errors.As(err, &u) {
			err = u.Err // its text only repeats the call
		}
		return nil, err
	}
	if resp.StatusCode >= http.StatusBadRequest {
		defer resp.Body.Close()
		var m struct{ Message string }
		_ = json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&m) // else the status alone tells
		return nil, &statusError{resp.StatusCode, m.Message}
	}
	return resp, nil
}

func (r *Runtime) get(ctx context.Context, path string, into any) error {
	resp, err := r.do(ctx, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return json.NewDecoder(io.LimitReader(resp.Body, 16<<20)).Decode(into)
}
