package bundle

import (
	"fmt"
	"strings"

	"github.com/distribution/reference"
)

// Need is an image that something in an installation asks for.
type Need struct {
	Ref string `json:"ref"` // as written: in a pod, in the kubelet's flags, in the runtime's configuration
	By  string `json:"by"`  // who asks: "static pod kube-apiserver", "manifests/01-kube-flannel.yml:12"
}

// MissingImages is the error of VerifyComplete.
type MissingImages struct{ Needs []Need }

func (e *MissingImages) Error() string {
	lines := make([]string, 0, len(e.Needs))
	for _, n := range e.Needs {
		lines = append(lines, fmt.Sprintf("image %s is not in the bundle, but %s needs it", n.Ref, n.By))
	}
	return strings.Join(lines, "\n")
}

// Hint says what the user can do about it.
func (e *MissingImages) Hint() string {
	return "build the bundle again with the same version, manifests and image options, or add the image by --image"
}

// VerifyComplete checks that every image that the installation can ask for is in the contract. The error is a
// *MissingImages that names them all with who asks.
func (c *Contract) VerifyComplete(needs []Need) error {
	have := map[string]bool{}
	for _, m := range c.Images {
		have[m.Ref] = true
		have[canonical(m.Ref)] = true
	}
	var missing []Need
	for _, n := range needs {
		if !have[n.Ref] && !have[canonical(n.Ref)] {
			missing = append(missing, n)
		}
	}
	if len(missing) > 0 {
		return &MissingImages{Needs: missing}
	}
	return nil
}

// Image finds an image by any spelling of its reference.
func (c *Contract) Image(ref string) (Image, bool) {
	want := canonical(ref)
	for _, m := range c.Images {
		if m.Ref == ref || canonical(m.Ref) == want {
			return m, true
		}
	}
	return Image{}, false
}

// canonical is how container runtimes store a reference: "nginx" is docker.io/library/nginx:latest, and a tag beside
// a digest is dropped.
func canonical(ref string) string {
	n, err := reference.ParseDockerRef(ref)
	if err != nil {
		return ref
	}
	return n.String()
}
