package builder

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSpellings(t *testing.T) {
	p := &Plan{Images: []PlannedImage{{Ref: "coredns/coredns:1.0.6", Component: "coredns"}}}
	p.addImage("docker.io/coredns/coredns:1.0.6", "f:1")
	p.addImage("nginx", "f:2")
	p.addImage("docker.io/library/nginx:latest", "f:3")
	want := []PlannedImage{
		{Ref: "coredns/coredns:1.0.6", Component: "coredns", By: []string{"f:1"}},
		{Ref: "docker.io/library/nginx:latest", Pull: []string{"docker.io/library/nginx:latest"}, By: []string{"f:2", "f:3"}},
	}
	if diff := cmp.Diff(want, p.Images); diff != "" {
		t.Errorf("images (-want +got):\n%s", diff)
	}
}
