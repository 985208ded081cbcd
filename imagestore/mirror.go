package imagestore

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
)

// ParseMirrors reads "from=to" pairs of --registry-mirror into Options.Mirrors. Both sides are a registry or a registry with a path, as in
// registry.k8s.io=localhost:5000/mirror, which makes localhost:5000/mirror/coredns/coredns of registry.k8s.io/coredns/coredns.
func ParseMirrors(pairs []string) (map[string]string, error) {
	mirrors := make(map[string]string, len(pairs))
	for _, pair := range pairs {
		from, to, ok := strings.Cut(pair, "=")
		if !ok || from == "" || to == "" {
			return nil, fmt.Errorf("registry mirror %q: want FROM=TO, as in registry.k8s.io=mirror.example.com/k8s", pair)
		}
		for _, side := range []string{from, to} {
			if err := checkPrefix(side); err != nil {
				return nil, fmt.Errorf("registry mirror %q: %w", pair, err)
			}
		}
		key := canonicalPrefix(from)
		if _, twice := mirrors[key]; twice {
			return nil, fmt.Errorf("registry mirror %q: %s is given twice", pair, from)
		}
		mirrors[key] = strings.TrimSuffix(to, "/")
	}
	return mirrors, nil
}

// checkPrefix accepts a registry host with an optional path.
func checkPrefix(p string) error {
	host, _, _ := strings.Cut(p, "/")
	if strings.Contains(p, "://") {
		return fmt.Errorf("%s has a scheme: leave it out (--insecure-registry %s allows plain HTTP)", p, strings.TrimPrefix(p[strings.Index(p, "://"):], "://"))
	}
	if !strings.ContainsAny(host, ".:") && host != "localhost" {
		return fmt.Errorf("%s does not start with a registry, as in docker.io/library", p)
	}
	if _, err := name.NewRepository(strings.TrimSuffix(p, "/")+"/x", name.WeakValidation); err != nil {
		return fmt.Errorf("%s is no registry or repository prefix", p)
	}
	return nil
}

// canonicalPrefix writes Docker Hub the way name.Repository does.
func canonicalPrefix(p string) string {
	p = strings.TrimSuffix(p, "/")
	if p == "docker.io" || strings.HasPrefix(p, "docker.io/") {
		return "index." + p
	}
	return p
}

// longestPrefix finds the key of m that is s or a parent of it, path element by path element.
func longestPrefix(m map[string]string, s string) (from, to string, ok bool) {
	for k, v := range m {
		k = strings.TrimSuffix(k, "/")
		if (s == k || strings.HasPrefix(s, k+"/")) && (!ok || len(k) > len(from)) {
			from, to, ok = k, strings.TrimSuffix(v, "/"), true
		}
	}
	return from, to, ok
}

// mirrored parses an image name and puts its mirror in place. The address is for people: as short as the user would write it.
func (s *Store) mirrored(image string) (name.Reference, string, error) {
	ref, err := name.ParseReference(image)
	if err != nil {
		return nil, image, fmt.Errorf("image name %q: %w", image, err)
	}
	full := ref.Context().Name()
	mirrors := make(map[string]string, len(s.o.Mirrors))
	for k, v := range s.o.Mirrors {
		mirrors[canonicalPrefix(k)] = v
	}
	target, address := full, image
	if from, to, ok := longestPrefix(mirrors, full); ok {
		target = to + strings.TrimPrefix(full, from)
		address = target + separator(ref) + ref.Identifier()
	}
	ref, err = name.ParseReference(target+separator(ref)+ref.Identifier(), s.nameOptions(target)...)
	if err != nil {
		return nil, address, fmt.Errorf("image name %q: %w", address, err)
	}
	return ref, address, nil
}

// nameOptions say how the registry of an address may be spoken to.
func (s *Store) nameOptions(address string) []name.Option {
	if host, _, _ := strings.Cut(address, "/"); s.isInsecure(host) {
		return []name.Option{name.Insecure}
	}
	return nil
}

func separator(ref name.Reference) string {
	if _, ok := ref.(name.Digest); ok {
		return "@"
	}
	return ":"
}

// The two places that a plain --binary-mirror stands in for.
const (
	kubernetesDownloads = "https://dl.k8s.io"
	githubDownloads     = "https://github.com"
)

// ParseBinaryMirrors reads the values of --binary-mirror into Options.BinaryMirrors.
//
// A plain URL M stands in for both https://dl.k8s.io and https://github.com, with their paths kept: M/release/v1.34.4/bin/linux/amd64/kubelet and
// M/containernetworking/plugins/releases/download/v1.7.1/cni-plugins-linux-amd64-v1.7.1.tgz. A pair FROM=TO replaces one prefix; a
// FROM without scheme means https. The longest matching prefix holds.
func ParseBinaryMirrors(values []string) (map[string]string, error) {
	mirrors := make(map[string]string, len(values)+1)
	add := func(value, from, to string) error {
		from, to = strings.TrimSuffix(from, "/"), strings.TrimSuffix(to, "/")
		if !strings.Contains(from, "://") {
			from = "https://" + from
		}
		for _, side := range []string{from, to} {
			u, err := url.Parse(side)
			if err != nil || u.Host == "" || u.RawQuery != "" || (u.Scheme != "https" && u.Scheme != "http") {
				return fmt.Errorf("binary mirror %q: want https://HOST/PATH or FROM=TO, as in dl.k8s.io=https://mirror.example.com/k8s", redactURL(value))
			}
		}
		if _, twice := mirrors[from]; twice {
			return fmt.Errorf("binary mirror %q: %s is given twice", redactURL(value), from)
		}
		mirrors[from] = to
		return nil
	}
	for _, v := range values {
		if from, to, ok := strings.Cut(v, "="); ok {
			if err := add(v, from, to); err != nil {
				return nil, err
			}
			continue
		}
		for _, from := range []string{kubernetesDownloads, githubDownloads} {
			if err := add(v, from, v); err != nil {
				return nil, err
			}
		}
	}
	return mirrors, nil
}

// binaryURL puts a mirror in place of an upstream address.
func (s *Store) binaryURL(upstream string) string {
	if from, to, ok := longestPrefix(s.o.BinaryMirrors, upstream); ok {
		return to + strings.TrimPrefix(upstream, from)
	}
	return upstream
}

// redactURL hides a password inside an address.
func redactURL(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.User == nil {
		return raw
	}
	return u.Redacted()
}
