package external

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// authority is a CA that people keep elsewhere: openssl in a folder of the machine, which no host sees.
type authority struct{ dir string }

// newAuthority makes a CA with an ECDSA key, signed by another one if there is one.
func newAuthority(t *testing.T, name string, parent *authority) *authority {
	t.Helper()
	a := &authority{dir: t.TempDir()}
	key := []string{"-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", a.file("key"), "-subj", "/CN=" + name}
	if parent == nil {
		openssl(t, append([]string{"req", "-x509", "-days", "3650", "-out", a.file("crt")}, key...)...)
		return a
	}
	openssl(t, append([]string{"req", "-new", "-out", a.file("csr")}, key...)...)
	parent.sign(t, a.file("csr"), a.file("crt"), "basicConstraints=critical,CA:TRUE,pathlen:0", "keyUsage=critical,keyCertSign,cRLSign")
	return a
}

// file is a file of the CA: crt, key or csr.
func (a *authority) file(kind string) string { return filepath.Join(a.dir, "ca."+kind) }

// crt is its certificate.
func (a *authority) crt(t *testing.T) []byte {
	t.Helper()
	return read(t, a.file("crt"))
}

// sign signs a request as it is, with further extensions.
func (a *authority) sign(t *testing.T, csr, crt string, extensions ...string) {
	t.Helper()
	ext := crt + ".ext"
	if err := os.WriteFile(ext, []byte(strings.Join(extensions, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	openssl(t, "x509", "-req", "-in", csr, "-CA", a.file("crt"), "-CAkey", a.file("key"), "-days", "365", "-copy_extensions", "copy", "-extfile", ext, "-out", crt)
	if err := os.Remove(ext); err != nil {
		t.Fatal(err)
	}
}

// issue makes a pair.
func (a *authority) issue(t *testing.T, name string, extensions ...string) (crt, key []byte) {
	t.Helper()
	base := filepath.Join(a.dir, name)
	openssl(t, "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", base+".key", "-out", base+".csr", "-subj", "/CN="+name)
	a.sign(t, base+".csr", base+".crt", extensions...)
	return read(t, base+".crt"), read(t, base+".key")
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func openssl(t *testing.T, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "openssl", args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		t.Fatalf("openssl %s: %v\n%s", strings.Join(args, " "), err, out.String())
	}
}
