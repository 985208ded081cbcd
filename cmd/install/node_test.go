package main

import (
	"testing"

	"kubebundle/bundle"
)

// An installation that names no image repository takes the one that its version had, as the bundle's images do.
func TestRepositoryOfVersion(t *testing.T) {
	for _, c := range []struct{ version, given, want string }{
		{"v1.10.6", "", "k8s.gcr.io"},
		{"v1.24.17", "", "registry.k8s.io"},
		{"v1.34.4", "", "registry.k8s.io"},
		{"v1.10.6", "registry.example/k8s", "registry.example/k8s"},
	} {
		got := repositoryOf(&bundle.Contract{KubernetesVersion: c.version, ImageRepository: c.given})
		if got != c.want {
			t.Errorf("%s with %q: %s, want %s", c.version, c.given, got, c.want)
		}
	}
}
