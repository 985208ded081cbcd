package release_test

import (
	"errors"
	"strings"
	"testing"

	"kubebundle/release"
)

func TestCheckUpgrade(t *testing.T) {
	for _, tt := range []struct {
		from, to string
		force    bool
		reason   string // "" where it may be
	}{
		{"v1.34.4", "v1.35.4", false, ""},
		{"v1.34.3", "v1.34.4", false, ""},
		{"v1.34.4", "v1.34.4", false, ""},
		{"v1.34.4", "v1.36.3", false, "skip v1.35"},
		{"v1.34.4", "v1.36.3", true, "skip v1.35"},
		{"v1.35.4", "v1.34.4", true, "stored in etcd"},
		{"v1.34.4", "v1.34.3", false, "a downgrade"},
		{"v1.34.4", "v1.34.3", true, ""},
		{"v1.34.4", "v2.0.0", true, "different major"},
		{"v1.10.6", "v1.11.0", false, "cannot be upgraded"},
	} {
		from, err := release.Parse(tt.from)
		if err != nil {
			t.Fatal(err)
		}
		to, err := release.Parse(tt.to)
		if err != nil {
			t.Fatal(err)
		}
		err = release.CheckUpgrade(from, to, tt.force)
		if tt.reason == "" {
			if err != nil {
				t.Errorf("%s to %s: %v", tt.from, tt.to, err)
			}
			continue
		}
		var refused *release.UpgradeError
		if !errors.As(err, &refused) || !strings.Contains(err.Error(), tt.reason) || refused.Hint() == "" {
			t.Errorf("%s to %s: %v, want a refusal that says %q and what to do", tt.from, tt.to, err, tt.reason)
		}
	}
}

func TestCheckEtcdUpgrade(t *testing.T) {
	for _, tt := range []struct {
		from, to string
		ok       bool
	}{
		{"3.6.5-0", "3.6.6-0", true},
		{"3.6.5-0", "3.6.5-0", true},
		{"3.5.24-0", "3.6.5-0", true},
		{"3.5.15-0", "3.6.5-0", false},
		{"3.4.13-0", "3.6.5-0", false},
		{"3.6.5-0", "3.5.24-0", false},
		{"ours", "3.6.5-0", true},
	} {
		if err := release.CheckEtcdUpgrade(tt.from, tt.to); (err == nil) != tt.ok {
			t.Errorf("%s to %s: %v", tt.from, tt.to, err)
		}
	}
}
