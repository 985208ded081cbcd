package builder

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"kubebundle/bundle"
)

func TestSpellings(t *testing.T) {
	p := &Plan{Images: []PlannedImage{{Ref: "coredns/coredns:1.0.6", Component: "coredns"}}}
	p.addImage("docker.io/coredns/coredns:1.0.6", "f:1")
	p.addImage("nginx", "f:2")
	p.addImage("docker.io/library/nginx:latest", "f:3")
	want := []bundle.Need{
		{Ref: "coredns/coredns:1.0.6", By: "f:1"},
		{Ref: "docker.io/library/nginx:latest", By: "f:2"},
		{Ref: "docker.io/library/nginx:latest", By: "f:3"},
	}
	if diff := cmp.Diff(want, p.Needs()); diff != "" {
		t.Errorf("needs (-want +got):\n%s", diff)
	}
}
