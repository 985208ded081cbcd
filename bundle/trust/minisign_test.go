package trust_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"kubebundle/bundle"
	"kubebundle/bundle/trust"
)

// TestMinisign lets the real minisign judge: it checks what we sign, we check what it signs, each with the other's keys,
// and the commands of docs/trust.md lead from the public key to the last byte.
func TestMinisign(t *testing.T) {
	if _, err := exec.LookPath("minisign"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("%v: `go run ./test/lab prepare` installs it", err)
		}
		t.Skip("minisign is not installed: make prepare")
	}
	us := newPair(t)
	dir := signed(t, "good", trust.Signer(us.secret))
	home := t.TempDir()
	write(t, filepath.Join(home, "us.pub"), trust.PublicFile(us.keys[0]))
	write(t, filepath.Join(home, "us.key"), us.file)
	sh := func(script string) (string, error) {
		c := exec.CommandContext(t.Context(), "bash", "-euc", script)
		c.Dir = dir
		c.Env = append(os.Environ(), "K="+home, "KEY="+us.keys[0].String())
		out, err := c.CombinedOutput()
		return string(out), err
	}
	run := func(script string) string {
		t.Helper()
		out, err := sh(script)
		if err != nil {
			t.Fatalf("%s: %v\n%s", script, err, out)
		}
		return out
	}
	if out := run("minisign -Vm bundle.json -p $K/us.pub"); !strings.Contains(out, "Trusted comment: k8s-v1.34.4-linux-amd64 ") {
		t.Errorf("minisign -V says %s", out)
	}
	const chain = "minisign -VQm bundle.json -P $KEY | cut -d' ' -f2- | sha256sum -c - && sha256sum -c SHA256SUMS"
	out := run(chain)
	for _, name := range []string{"SHA256SUMS", "bundle.json", "install", "README.txt", "payload.tar.zst"} {
		if !strings.Contains(out, name+": OK\n") {
			t.Errorf("the chain does not reach %s:\n%s", name, out)
		}
		p := filepath.Join(dir, name)
		old := read(t, p)
		flip(t, p)
		if out, err := sh(chain); err == nil {
			t.Errorf("the chain does not notice another %s:\n%s", name, out)
		}
		write(t, p, old)
	}
	// install and SHA256SUMS swapped together: what sha256sum -c alone does not see.
	install, sums := filepath.Join(dir, "install"), filepath.Join(dir, bundle.SumsName)
	oldInstall, oldSums := read(t, install), read(t, sums)
	write(t, install, []byte("malice"))
	write(t, sums, bytes.ReplaceAll(oldSums, hexOf(oldInstall), hexOf([]byte("malice"))))
	run("sha256sum -c SHA256SUMS")
	if out, err := sh(chain); err == nil {
		t.Errorf("the chain does not notice install and SHA256SUMS swapped together:\n%s", out)
	}
	write(t, install, oldInstall)
	write(t, sums, oldSums)

	// minisign signs with our key, and with its own.
	run("rm bundle.json.minisig && minisign -Sm bundle.json -s $K/us.key -t 'by hand'")
	if _, sig, err := us.keys.Open(t.Context(), dir); err != nil || sig.Comment != "by hand" {
		t.Errorf("signed by minisign with our key: %v", err)
	}
	run("minisign -GW -p $K/its.pub -s $K/its.key && rm bundle.json.minisig && minisign -Sm bundle.json -s $K/its.key")
	its, err := trust.LoadKeys([]string{filepath.Join(home, "its.pub")})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := its.Open(t.Context(), dir); err != nil {
		t.Errorf("signed by minisign with its key: %v", err)
	}
	if _, _, err := us.keys.Open(t.Context(), dir); err == nil {
		t.Error("its key is taken for ours")
	}
	// We sign with its key.
	secret, err := trust.ParseSecret(read(t, filepath.Join(home, "its.key")), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bundle.Sign(t.Context(), dir, trust.Signer(secret)); err != nil {
		t.Fatal(err)
	}
	run("minisign -Vm bundle.json -p $K/its.pub")
}
