package host

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
)

// elfHeader is the beginning of a 64-bit little-endian program, which is all that is looked at.
func elfHeader(machine uint16) []byte {
	h := make([]byte, 64)
	copy(h, "\x7fELF\x02\x01\x01")
	binary.LittleEndian.PutUint16(h[16:], 2)
	binary.LittleEndian.PutUint16(h[18:], machine)
	binary.LittleEndian.PutUint32(h[20:], 1)
	binary.LittleEndian.PutUint16(h[52:], 64)
	return h
}

// A tree says what machine it will be, and its links lead into itself: /sbin/init is usually an absolute one.
func TestFactsOf(t *testing.T) {
	root := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range []string{"etc", "sbin", "usr/lib/systemd"} {
		must(os.MkdirAll(filepath.Join(root, d), 0o755))
	}
	must(os.WriteFile(filepath.Join(root, "etc/hostname"), []byte("cp1\n"), 0o600))
	must(os.WriteFile(filepath.Join(root, "usr/lib/systemd/systemd"), elfHeader(183), 0o600)) // EM_AARCH64
	must(os.Symlink("/usr/lib/systemd/systemd", filepath.Join(root, "sbin/init")))
	must(os.Symlink("../run/systemd/resolve/stub-resolv.conf", filepath.Join(root, "etc/resolv.conf")))
	f, err := FactsOf(root)
	must(err)
	if f.Hostname != "cp1" || f.Arch != "arm64" || !f.ResolvedActive || len(f.Addresses) != 0 || f.OS != "linux" {
		t.Errorf("got %+v", f)
	}
	if _, err := FactsOf(filepath.Join(root, "etc/hostname")); err == nil {
		t.Error("a file was taken for a tree")
	}
	if _, err := FactsOf(filepath.Join(root, "nothing")); err == nil {
		t.Error("nothing was taken for a tree")
	}
}
