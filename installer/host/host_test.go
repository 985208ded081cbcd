package host_test

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"kubebundle/installer/host"
	"kubebundle/installer/host/hosttest"
)

func TestMemory(t *testing.T) {
	hosttest.Run(t, func(*testing.T) host.Host { return host.NewMemory() })
}

func TestRecording(t *testing.T) {
	hosttest.Run(t, func(*testing.T) host.Host { return host.NewRecording(host.NewMemory()) })
}

// Rooted shares its files with Local, so this is the test of real files too.
func TestRooted(t *testing.T) {
	old := unix.Umask(0o077) // modes must not listen to it
	t.Cleanup(func() { unix.Umask(old) })
	hosttest.Run(t, func(t *testing.T) host.Host { return rooted(t, t.TempDir()) })
}

func rooted(t *testing.T, dir string) *host.Rooted {
	t.Helper()
	r, err := host.NewRooted(dir, host.Facts{Hostname: "image"})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRootedStaysInside(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "outside")
	if err := os.WriteFile(outside, []byte("theirs"), 0o600); err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	for name, target := range map[string]string{"abs": outside, "up": "../../../../../../.." + outside} {
		if err := os.Symlink(target, filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	h := rooted(t, root)
	for _, p := range []string{"/abs", "/up"} {
		if b, err := h.ReadFile(p); err == nil {
			t.Errorf("read %s gave what is outside the root: %q", p, b)
		}
		if err := h.Chmod(p, 0o777); err == nil {
			t.Errorf("chmod %s changed something outside the root", p)
		}
	}
	if fi, err := os.Stat(outside); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("the file outside: %v %v", fi.Mode(), err)
	}
}

func TestRootedDoesNotRun(t *testing.T) {
	h := rooted(t, t.TempDir())
	if _, err := h.Run(t.Context(), host.Command{Name: "true"}); err == nil {
		t.Error("a command ran")
	}
	if err := h.Start(t.Context(), "kubelet.service"); err == nil {
		t.Error("a unit was started")
	}
}

func TestEnableLinksIntoRoot(t *testing.T) {
	root := t.TempDir()
	h := rooted(t, root)
	if err := h.WriteFile("/etc/systemd/system/kubelet.service", []byte("[Install]\nWantedBy=multi-user.target\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := h.Enable(t.Context(), "kubelet.service"); err != nil {
		t.Fatal(err)
	}
	got, err := os.Readlink(filepath.Join(root, "etc/systemd/system/multi-user.target.wants/kubelet.service"))
	if err != nil || got != "/etc/systemd/system/kubelet.service" {
		t.Errorf("link: %q, %v", got, err)
	}
}
