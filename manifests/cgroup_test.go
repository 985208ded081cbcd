package manifests

import (
	"testing"

	"k8s.io/apimachinery/pkg/util/version"
)

func TestKubeletCgroupDriver(t *testing.T) {
	for _, s := range everyMinor() {
		v := version.MustParseGeneric(s)
		want := "systemd"
		if v.Minor() < 22 {
			want = "cgroupfs"
		}
		if got := KubeletCgroupDriver(v); got != want {
			t.Errorf("v%s: got %s, want %s", s, got, want)
		}
	}
}
