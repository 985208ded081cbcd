package bundle_test

import (
	"strings"
	"testing"

	"kubebundle/bundle"
)

func TestCheckDest(t *testing.T) {
	for dest, want := range map[string]string{
		"/etc/motd":                            "",
		"/etc/kubernetes/audit-policy.yaml":    "",
		"/opt/cni/bin/extra":                   "",
		"/etc/kubernetes/pki-of-others/ca.crt": "",
		"/" + strings.Repeat("a", 92):          "",
		"/" + strings.Repeat("a", 93):          "has 94 characters, and the format holds 93",
		"etc/motd":                             "not an absolute path",
		"":                                     "not an absolute path",
		"/":                                    "is a folder",
		"/etc/":                                "is a folder",
		"/etc/../root/x":                       "not written plainly, as /root/x",
		"/etc//motd":                           "not written plainly",
		"/opt/a b":                             "printable ASCII",
		"/opt/ä":                               "printable ASCII",
		"/opt/a\nb":                            "printable ASCII",
		"/opt/a\\b":                            "printable ASCII",
		"/etc/kubernetes/pki":                  "/etc/kubernetes/pki is made by the installer",
		"/etc/kubernetes/pki/ca.crt":           "/etc/kubernetes/pki is made by the installer",
		"/etc/kubernetes/manifests/mine.yaml":  "is made by the installer",
		"/etc/kubernetes/admin.conf":           "is made by the installer",
		"/proc/sys/net/ipv4/ip_forward":        "/proc belongs to the kernel",
		"/run/x":                               "is emptied at every start",
		"/var/lib/kubebundle/journal":          "is refused",
		"/usr/bin/kubelet":                     "the bundle's own programs",
		"/etc/systemd/system/kubelet.service":  "the bundle's own programs",
		"/etc/systemd/system/mine.service":     "",
		"/etc/systemd/system/kubelet.service.d/20-mine.conf": "",
		"/etc/shadow": "who may log in",
	} {
		err := bundle.CheckDest(dest)
		switch {
		case want == "" && err != nil:
			t.Errorf("%q: %v", dest, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%q: %v, want %q", dest, err, want)
		}
	}
}

func TestDest(t *testing.T) {
	for path, want := range map[string]string{
		"include/etc/motd": "/etc/motd", "include": "", "include/": "", "bin/kubelet": "", "manifests/include/x": "",
	} {
		f := bundle.File{Path: path}
		if got := f.Dest(); got != want {
			t.Errorf("%s goes to %q, want %q", path, got, want)
		}
	}
}
