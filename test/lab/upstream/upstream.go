package upstream

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"strings"

	"kubebundle/release"
	"kubebundle/test/lab/serve"
)

// Upstream is the content of one Kubernetes release, ready to be served.
type Upstream struct {
	Version string
	Images  []Image
	Files   map[string]string // URL path -> file

	b *Builder
}

// Prepare builds, or finds in the cache, all that bundler asks for when it builds a version for some architectures; the
// machine's own if none is given.
func Prepare(ctx context.Context, b *Builder, version string, arches ...string) (*Upstream, error) {
	if len(arches) == 0 {
		arches = []string{runtime.GOARCH}
	}
	v, err := release.Parse(version)
	if err != nil {
		return nil, err
	}
	rel, err := release.Find(v, release.Options{})
	if err != nil {
		return nil, err
	}
	u := &Upstream{Version: version, b: b}
	if u.Images, err = b.Images(ctx, rel, version, arches); err != nil {
		return nil, fmt.Errorf("images of %s: %w", version, err)
	}
	if u.Files, err = b.Files(ctx, rel, version, arches); err != nil {
		return nil, fmt.Errorf("files of %s: %w", version, err)
	}
	return u, nil
}

// Image finds an image by the name that pods ask for.
func (u *Upstream) Image(ref string) (Image, bool) {
	for _, i := range u.Images {
		if i.Ref() == ref {
			return i, true
		}
	}
	return Image{}, false
}

// Server serves one or more releases on loopback.
type Server struct {
	*serve.Server
	registries []string
}

// Serve starts the registry and the file server on loopback, on ports of the kernel's choice.
func Serve(ctx context.Context, log *slog.Logger, releases ...*Upstream) (*Server, error) {
	var c serve.Content
	c.Files = map[string]string{}
	s := &Server{}
	for _, u := range releases {
		st := u.b.store()
		c.Blob = st.Path
		for _, img := range u.Images {
			for _, name := range img.Names {
				repo, tag, ok := cutTag(name)
				if !ok {
					return nil, fmt.Errorf("image name %q has no tag", name)
				}
				digests := []string{img.Index}
				for _, d := range img.Manifests {
					digests = append(digests, d)
				}
				repo = withRegistry(repo)
				c.Images = append(c.Images, serve.Image{Repository: repo, Tag: tag, Digests: digests})
				s.addRegistry(repo)
			}
		}
		for p, f := range u.Files {
			c.Files[p] = f
		}
	}
	srv, err := serve.Start(ctx, c, log)
	s.Server = srv
	return s, err
}

func cutTag(name string) (repo, tag string, ok bool) {
	i := strings.LastIndexByte(name, ':')
	if i < 0 || strings.Contains(name[i:], "/") {
		return name, "", false
	}
	return name[:i], name[i+1:], true
}

// withRegistry gives a short name the registry that it is short for.
func withRegistry(repo string) string {
	first, _, found := strings.Cut(repo, "/")
	switch {
	case !found:
		return "docker.io/library/" + repo
	case !strings.ContainsAny(first, ".:"):
		return "docker.io/" + repo
	}
	return repo
}

func (s *Server) addRegistry(repo string) {
	host, _, _ := strings.Cut(repo, "/")
	for _, r := range s.registries {
		if r == host {
			return
		}
	}
	s.registries = append(s.registries, host)
}

// Flags are what bundler is given to find everything here: its public mirror flags.
func (s *Server) Flags() []string {
	var out []string
	for _, r := range s.registries {
		out = append(out, "--registry-mirror", r+"="+s.Registry+"/"+r)
	}
	return append(out, "--binary-mirror", "http://"+s.Files)
}

// Blob is where a blob of the images, manifests among them, lies on disk.
func (u *Upstream) Blob(digest string) string { return u.b.store().Path(digest) }
