package manifests

import (
	"fmt"
	"testing"

	"k8s.io/apimachinery/pkg/util/version"
)

func TestKubeletCgroupDriver(t *testing.T) {
	for minor := 10; minor <= newestMinor; minor++ {
		want := "systemd"
		if minor < 22 {
			want = "cgroupfs"
		}
		if got := KubeletCgroupDriver(version.MustParseGeneric(fmt.Sprintf("v1.%d.0", minor))); got != want {
			t.Errorf("v1.%d: got %s, want %s", minor, got, want)
		}
	}
}
