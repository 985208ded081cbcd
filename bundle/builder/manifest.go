package builder

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"kubebundle/bundle/needs"
)

// maxManifest is the largest extra manifest, in bytes. The installer holds it in memory.
const maxManifest = 16 << 20

// Manifest is an extra manifest, byte for byte as it was given, or a rendered chart.
type Manifest struct {
	Path   string `json:"path"`            // in the payload: manifests/01-kube-flannel.yml
	Source string `json:"source"`          // file or URL, as given
	Chart  string `json:"chart,omitempty"` // name and version
	Size   int64  `json:"size"`

	data  []byte
	found needs.Found
}

var oddNameRE = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

// readManifest reads the i-th manifest and finds its images.
func (b *Builder) readManifest(ctx context.Context, i int, source string) (*Manifest, error) {
	label, name := source, path.Base(filepath.ToSlash(source))
	if u, err := url.Parse(source); err == nil && isURL(source) {
		label, name = u.Redacted(), path.Base(u.Path) // the label goes into messages and the contract: no password
	}
	data, err := b.readSource(ctx, source)
	if err != nil {
		return nil, fmt.Errorf("manifest %s: %w", label, err)
	}
	name = strings.Trim(oddNameRE.ReplaceAllString(name, "-"), "-.")
	if len(name) > 64 {
		name = name[len(name)-64:]
	}
	if ext := path.Ext(name); ext != ".yml" && ext != ".yaml" && ext != ".json" {
		name += ".yaml"
	}
	found, err := needs.Scan(label, data)
	if err != nil {
		return nil, err
	}
	return &Manifest{Path: fmt.Sprintf("manifests/%02d-%s", i+1, name), Source: label, Size: int64(len(data)), data: data, found: found}, nil
}

func isURL(s string) bool { return strings.HasPrefix(s, "https://") || strings.HasPrefix(s, "http://") }

func (b *Builder) readSource(ctx context.Context, source string) ([]byte, error) {
	if isURL(source) {
		return b.get(ctx, source)
	}
	f, err := os.Open(source)
	if err != nil {
		return nil, bare(err)
	}
	defer func() { _ = f.Close() }() // only read from
	return readLimited(f)
}

func (b *Builder) get(ctx context.Context, source string) ([]byte, error) {
	client := b.HTTP
	if client == nil {
		client = &http.Client{Timeout: 2 * time.Minute}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, source, nil)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err // the address is named already
		}
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }() // only read from
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the server says %s", resp.Status)
	}
	return readLimited(resp.Body)
}

func readLimited(r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxManifest+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxManifest {
		return nil, fmt.Errorf("is larger than %d bytes", maxManifest)
	}
	return data, nil
}

// bare takes the path out of an error whose context names it already.
func bare(err error) error {
	var pe *os.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}
