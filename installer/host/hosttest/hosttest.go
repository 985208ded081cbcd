// Package hosttest says what every host.Host promises about files and units, as a test suite. A new implementation runs it.
package hosttest

import (
	"errors"
	"io"
	"io/fs"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kubebundle/installer/host"
)

// Run tests a kind of host. open gives a new, empty one each time; the folder /etc exists or can be made.
func Run(t *testing.T, open func(t *testing.T) host.Host) {
	t.Helper()
	for name, test := range map[string]func(t *testing.T, h host.Host){
		"WriteFile": testWriteFile, "Create": testCreate, "Links": testLinks, "Dirs": testDirs, "Remove": testRemove, "Rename": testRename,
		"Append": testAppend, "Paths": testPaths, "Units": testUnits, "LookPath": testLookPath, "DiskFree": testDiskFree,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantContent(t *testing.T, h host.Reader, p, want string) {
	t.Helper()
	got, err := h.ReadFile(p)
	ok(t, err)
	if string(got) != want {
		t.Errorf("%s holds %q, want %q", p, got, want)
	}
}

func wantMissing(t *testing.T, h host.Reader, p string) {
	t.Helper()
	if _, err := h.Lstat(p); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("lstat %s: %v, want that it does not exist", p, err)
	}
}

func wantMode(t *testing.T, h host.Reader, p string, want fs.FileMode) {
	t.Helper()
	fi, err := h.Stat(p)
	ok(t, err)
	if fi.Mode().Perm() != want {
		t.Errorf("%s has mode %04o, want %04o", p, fi.Mode().Perm(), want)
	}
}

func names(t *testing.T, h host.Reader, p string) []string {
	t.Helper()
	entries, err := h.ReadDir(p)
	ok(t, err)
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

func testWriteFile(t *testing.T, h host.Host) {
	ok(t, h.WriteFile("/etc/a/b/key", []byte("one"), 0o600))
	wantContent(t, h, "/etc/a/b/key", "one")
	wantMode(t, h, "/etc/a/b/key", 0o600)
	wantMode(t, h, "/etc/a/b", 0o755)
	ok(t, h.WriteFile("/etc/a/b/key", []byte("two"), 0o666)) // a mode that a umask would change
	wantContent(t, h, "/etc/a/b/key", "two")
	wantMode(t, h, "/etc/a/b/key", 0o666)
	if d := cmp.Diff([]string{"key"}, names(t, h, "/etc/a/b")); d != "" {
		t.Errorf("something was left beside the file (-want +got):\n%s", d)
	}
	if err := h.WriteFile("/etc/a/b", []byte("x"), 0o600); err == nil {
		t.Error("a file took the place of a directory")
	}
	if err := h.WriteFile("/etc/a/b/key/below", []byte("x"), 0o600); err == nil {
		t.Error("a file was written below a file")
	}
	wantContent(t, h, "/etc/a/b/key", "two")
}

func testCreate(t *testing.T, h host.Host) {
	ok(t, h.WriteFile("/etc/create/big", []byte("old"), 0o644))
	w, err := h.Create("/etc/create/big", 0o755)
	ok(t, err)
	_, err = io.WriteString(w, "new")
	ok(t, err)
	wantContent(t, h, "/etc/create/big", "old") // nothing is visible before Commit
	ok(t, w.Abort())
	wantContent(t, h, "/etc/create/big", "old")

	_, err = h.Create("/etc/create/big", 0o755) // a writer that was killed: neither committed nor aborted
	ok(t, err)
	w, err = h.Create("/etc/create/big", 0o755)
	ok(t, err)
	_, err = io.WriteString(w, "newer")
	ok(t, err)
	ok(t, w.Commit())
	ok(t, w.Abort()) // does nothing any more
	wantContent(t, h, "/etc/create/big", "newer")
	wantMode(t, h, "/etc/create/big", 0o755)
	r, err := h.Open("/etc/create/big")
	ok(t, err)
	got, err := io.ReadAll(r)
	ok(t, errors.Join(err, r.Close()))
	if string(got) != "newer" {
		t.Errorf("Open gives %q", got)
	}
	if d := cmp.Diff([]string{"big"}, names(t, h, "/etc/create")); d != "" {
		t.Errorf("something was left beside the file (-want +got):\n%s", d)
	}
}

func testLinks(t *testing.T, h host.Host) {
	ok(t, h.WriteFile("/usr/lib/real/file", []byte("content"), 0o644))
	ok(t, h.MkdirAll("/etc", 0o755))
	ok(t, h.Symlink("/usr/lib/real", "/etc/dir")) // absolute: it must stay inside a rooted host
	wantContent(t, h, "/etc/dir/file", "content")
	ok(t, h.Symlink("../usr/lib/real/file", "/etc/rel"))
	wantContent(t, h, "/etc/rel", "content")
	target, err := h.Readlink("/etc/rel")
	ok(t, err)
	if target != "../usr/lib/real/file" {
		t.Errorf("readlink gives %q", target)
	}
	fi, err := h.Lstat("/etc/rel")
	ok(t, err)
	if fi.Mode()&fs.ModeSymlink == 0 {
		t.Errorf("lstat gives mode %v for a link", fi.Mode())
	}
	ok(t, h.Symlink("/nowhere", "/etc/rel")) // replaces
	if _, err := h.Stat("/etc/rel"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("stat of a dangling link: %v", err)
	}
	ok(t, h.WriteFile("/etc/rel", []byte("mine"), 0o600)) // replaces the link and does not follow it
	wantContent(t, h, "/etc/rel", "mine")
	wantMissing(t, h, "/nowhere")
	ok(t, h.WriteFile("/etc/dir/second", []byte("2"), 0o600)) // a link on the way is followed
	wantContent(t, h, "/usr/lib/real/second", "2")
	ok(t, h.RemoveAll("/etc/dir")) // removes the link, not what it names
	wantContent(t, h, "/usr/lib/real/file", "content")
	ok(t, h.Symlink("/../../../../etc/rel", "/etc/climber"))
	wantContent(t, h, "/etc/climber", "mine")
}

func testDirs(t *testing.T, h host.Host) {
	ok(t, h.MkdirAll("/var/lib/x/y", 0o700))
	wantMode(t, h, "/var/lib/x", 0o755)
	wantMode(t, h, "/var/lib/x/y", 0o700)
	ok(t, h.MkdirAll("/var/lib/x/y", 0o755)) // there already: unchanged
	wantMode(t, h, "/var/lib/x/y", 0o700)
	ok(t, h.Chmod("/var/lib/x/y", 0o711))
	wantMode(t, h, "/var/lib/x/y", 0o711)
	ok(t, h.WriteFile("/var/lib/x/file", nil, 0o600))
	if err := h.MkdirAll("/var/lib/x/file", 0o755); err == nil {
		t.Error("a directory took the place of a file")
	}
	if d := cmp.Diff([]string{"file", "y"}, names(t, h, "/var/lib/x")); d != "" {
		t.Errorf("names (-want +got):\n%s", d)
	}
}

func testRemove(t *testing.T, h host.Host) {
	ok(t, h.Remove("/etc/none/at/all"))
	ok(t, h.RemoveAll("/etc/none/at/all"))
	ok(t, h.WriteFile("/etc/d/f", []byte("x"), 0o600))
	if err := h.Remove("/etc/d"); err == nil {
		t.Error("a full directory was removed")
	}
	ok(t, h.Remove("/etc/d/f"))
	wantMissing(t, h, "/etc/d/f")
	ok(t, h.Remove("/etc/d"))
	wantMissing(t, h, "/etc/d")
	ok(t, h.WriteFile("/etc/e/f/g", []byte("x"), 0o600))
	ok(t, h.RemoveAll("/etc/e"))
	wantMissing(t, h, "/etc/e")
	if err := h.RemoveAll("/"); err == nil {
		t.Error("everything was removed")
	}
}

func testRename(t *testing.T, h host.Host) {
	ok(t, h.WriteFile("/etc/r/one/deep/f", []byte("x"), 0o640))
	ok(t, h.Rename("/etc/r/one", "/etc/r/two"))
	wantMissing(t, h, "/etc/r/one")
	wantContent(t, h, "/etc/r/two/deep/f", "x")
	wantMode(t, h, "/etc/r/two/deep/f", 0o640)
	ok(t, h.WriteFile("/etc/r/g", []byte("y"), 0o600))
	for _, to := range []string{"/etc/r/two", "/etc/r/two/deep/f"} {
		if err := h.Rename("/etc/r/g", to); !errors.Is(err, fs.ErrExist) {
			t.Errorf("rename to %s, which is there: %v", to, err)
		}
	}
	wantContent(t, h, "/etc/r/two/deep/f", "x")
	ok(t, h.Rename("/etc/r/g", "/etc/r/h"))
	wantContent(t, h, "/etc/r/h", "y")
	if err := h.Rename("/etc/r/none", "/etc/r/i"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("rename of nothing: %v", err)
	}
	if err := h.Rename("/etc/r/h", "/etc/none/h"); err == nil {
		t.Error("renamed into a folder that is not there")
	}
}

func testAppend(t *testing.T, h host.Host) {
	ok(t, h.Append("/var/lib/j/journal", []byte("1\n"), 0o600))
	ok(t, h.Append("/var/lib/j/journal", []byte("2\n"), 0o600))
	wantContent(t, h, "/var/lib/j/journal", "1\n2\n")
	wantMode(t, h, "/var/lib/j/journal", 0o600)
}

func testPaths(t *testing.T, h host.Host) {
	for _, p := range []string{"", "etc/x", "./x", "/etc/../x", "/etc//x", "/etc/"} {
		if err := h.WriteFile(p, nil, 0o600); err == nil {
			t.Errorf("path %q was accepted for writing", p)
		}
		if _, err := h.Stat(p); err == nil {
			t.Errorf("path %q was accepted for stat", p)
		}
		if err := h.RemoveAll(p); err == nil {
			t.Errorf("path %q was accepted for removal", p)
		}
	}
}

func testUnits(t *testing.T, h host.Host) {
	ctx := t.Context()
	st, err := h.UnitState(ctx, "demo.service")
	ok(t, err)
	if st.Exists || st.Enabled || st.Active {
		t.Errorf("a unit that is not there has state %+v", st)
	}
	if err := h.Enable(ctx, "demo.service"); err == nil {
		t.Error("a unit that is not there was enabled")
	}
	ok(t, h.WriteFile("/etc/systemd/system/demo.service", []byte("[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n"), 0o644))
	ok(t, h.DaemonReload(ctx))
	ok(t, h.Enable(ctx, "demo.service"))
	ok(t, h.Enable(ctx, "demo.service"))
	st, err = h.UnitState(ctx, "demo.service")
	ok(t, err)
	if !st.Exists || !st.Enabled || st.Active {
		t.Errorf("an enabled unit has state %+v", st)
	}
	ok(t, h.Stop(ctx, "demo.service"))
	ok(t, h.Disable(ctx, "demo.service"))
	st, err = h.UnitState(ctx, "demo.service")
	ok(t, err)
	if !st.Exists || st.Enabled {
		t.Errorf("a disabled unit has state %+v", st)
	}
}

func testLookPath(t *testing.T, h host.Host) {
	if _, err := h.LookPath("no-such-program"); err == nil {
		t.Error("a program that is not there was found")
	}
	ok(t, h.WriteFile("/usr/sbin/kubebundle-demo", []byte("#!"), 0o755))
	p, err := h.LookPath("kubebundle-demo")
	ok(t, err)
	if p != "/usr/sbin/kubebundle-demo" {
		t.Errorf("found at %q", p)
	}
	ok(t, h.Chmod("/usr/sbin/kubebundle-demo", 0o644))
	if p, err := h.LookPath("kubebundle-demo"); err == nil {
		t.Errorf("a file that is not executable was found as a program: %s", p)
	}
}

func testDiskFree(t *testing.T, h host.Host) {
	n, err := h.DiskFree("/not/there/yet")
	ok(t, err)
	if n == 0 {
		t.Error("no space at all")
	}
}
