// Package sealed: a signed delta whose installer trusts one key, with a chart, an image and a file of the site's own in it. A host takes it, on the bundle
// that it was made from, and refuses every altered copy, an unsigned bundle and another base before it changes anything; minisign and
// sha256sum say the same.
package sealed

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kubebundle/test/e2e/suite"
	"kubebundle/test/lab/clusters"
	"kubebundle/test/lab/hosts"
)

// Test packs the bundle, shows what is refused, and installs from it.
func Test(t *testing.T, s *suite.Suite) {
	b, key := pack(t, s)
	h := s.BareHost(t, "seal1", s.Runtime) // the base lies there
	if err := b.Carry(t.Context(), h); err != nil {
		t.Fatal(err)
	}
	if err := clusters.Forwarding(t.Context(), h); err != nil {
		t.Fatal(err)
	}
	cfg, err := clusters.InitConfig(s.Lab.Machine, s.Version, "", clusters.RuntimeDocs(s.Runtime)...)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.WriteFile(clusters.ConfigPath, []byte(cfg), 0o600); err != nil {
		t.Fatal(err)
	}
	before, err := h.Snapshot(suite.Volatile...)
	if err != nil {
		t.Fatal(err)
	}
	site := &site{t: t, s: s, h: h, b: b, key: key}
	site.altered()
	site.others()
	after, err := h.Snapshot(suite.Volatile...)
	if err != nil {
		t.Fatal(err)
	}
	if diff := before.Diff(after); len(diff) > 0 {
		t.Errorf("a bundle that was refused has changed the host:\n%s", strings.Join(diff, "\n"))
	}
	site.install()
	site.kept()
}

// site is a host with the bundle on it, and the key that came another way.
type site struct {
	t   *testing.T
	s   *suite.Suite
	h   *hosts.Host
	b   clusters.Bundle
	key string
}

// run is one run of a bundle's installer, which must end with a code and say something.
func (x *site) run(b clusters.Bundle, code int, text string, args ...string) {
	x.t.Helper()
	r := b.Install(x.t.Context(), x.h, args...)
	if r.Code() != code || !strings.Contains(r.Stdout+r.Stderr, text) {
		x.t.Errorf("install %s in %s: exit code %d, want %d and %q\nstdout: %s\nstderr: %s", strings.Join(args, " "), b.Folder, r.Code(), code, text, r.Stdout, r.Stderr)
	}
}

func (x *site) shell(script string) {
	x.t.Helper()
	if err := x.h.Run(x.t.Context(), "sh", "-euc", script); err != nil {
		x.t.Fatal(err)
	}
}

// chain is what docs/trust.md has people do who have nothing but minisign and coreutils.
func (x *site) chain(folder string) error {
	cmd := exec.CommandContext(x.t.Context(), "bash", "-euo", "pipefail", "-c",
		`minisign -VQm bundle.json -P "$KEY" | cut -d' ' -f2- | sha256sum -c - && sha256sum -c SHA256SUMS`)
	cmd.Dir = filepath.Join(x.h.Root(), "root", folder)
	cmd.Env = append(os.Environ(), "KEY="+x.key)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// altered plays what somebody on the way may do to a copy.
func (x *site) altered() {
	x.t.Helper()
	if err := x.chain(x.b.Folder); err != nil {
		x.t.Errorf("minisign and sha256sum refuse the bundle: %v", err)
	}
	x.run(x.b, 0, " on "+x.s.Bundle.Folder, "verify")
	bad := clusters.Bundle{Folder: "altered"}
	for _, c := range []struct{ name, damage, text string }{
		{"a byte of the payload", `printf '\252' | dd of=payload.tar.zst bs=1 seek=1000 conv=notrunc status=none`, "payload.tar.zst: has digest"},
		{"a word of the contract", `sed -i 's/"builder": "/&x/' bundle.json`, "bundle.json.minisig does not fit bundle.json"},
		{"the contract and its sum", `sed -i 's/"builder": "/&x/' bundle.json; ` + mendSum("bundle.json"), "bundle.json.minisig does not fit bundle.json"},
		{"the signature", `rm bundle.json.minisig`, "it is not signed"},
	} {
		x.shell("cd /root && rm -rf altered && cp -a " + x.b.Folder + " altered && cd altered && " + c.damage)
		x.run(bad, 4, c.text, "verify")
		x.run(bad, 4, c.text, clusters.InitArgs()...)
		if err := x.chain(bad.Folder); err == nil {
			x.t.Errorf("%s: minisign and sha256sum have nothing against it", c.name)
		}
	}
	// A swapped installer cannot be asked; an older one that is trusted can, and so can minisign.
	x.shell("cd /root && rm -rf altered && cp -a " + x.b.Folder + " altered && cd altered && printf '#!/bin/sh\\necho ok\\n' >install && " + mendSum("install"))
	x.run(bad, 0, "ok", "verify")
	x.run(x.b, 4, "install: has ", "verify", "../altered")
	if err := x.chain(bad.Folder); err == nil {
		x.t.Error("a swapped install: minisign and sha256sum have nothing against it")
	}
	x.shell("rm -rf /root/altered")
}

// mendSum makes SHA256SUMS agree with a file that was changed.
func mendSum(file string) string {
	return `sed -i "s/^.*  ` + file + `\$/$(sha256sum ` + file + `)/" SHA256SUMS`
}

// others tries what is whole, but not ours, or not what the delta was made from.
func (x *site) others() {
	x.t.Helper()
	unsigned := append([]string{"--bundle", "../" + x.s.Bundle.Folder}, clusters.InitArgs()...)
	x.run(x.b, 4, "it is not signed", unsigned...)
	// Another base: whole, with a program of another mode.
	x.shell("cd /root && cp -al " + x.s.Bundle.Folder + ` other && cd other && sed -i '0,/"mode": 493/s//"mode": 448/' bundle.json && ` + mendSum("bundle.json"))
	x.run(x.s.Bundle, 0, ": ok: ", "verify", "../other")
	x.run(x.b, 4, "was made from "+x.s.Bundle.Folder, append([]string{"--base", "../other"}, clusters.InitArgs()...)...)
	// No base at all: neither the folder beside it nor the file.
	base := "/root/" + x.s.Bundle.Folder
	x.shell("rm -r /root/other && mkdir /root/away && mv " + base + " " + base + ".tar.gz /root/away")
	x.run(x.b, 4, "is a delta and needs its base", clusters.InitArgs()...)
	x.shell("mv /root/away/* /root && rmdir /root/away")
}

// install makes a node of the host and looks for what the site has added.
func (x *site) install() {
	t, s := x.t, x.s
	t.Helper()
	if r := x.b.Install(t.Context(), x.h, clusters.InitArgs()...); r.Err != nil {
		t.Fatalf("init: exit code %d\n%s%s", r.Code(), r.Stdout, r.Stderr)
	}
	c := &clusters.Cluster{Env: s.Env, Hosts: []*hosts.Host{x.h}}
	if err := c.FetchKubeconfig(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := c.AwaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	// The chart's pod runs its image and reads the included file.
	suite.Eventually(t, 30*time.Second, func() error {
		out, err := c.Kubectl(t.Context(), "logs", "-l", "app=sealed")
		if err == nil && out != policy {
			err = fmt.Errorf("the chart's pod says %q", out)
		}
		return err
	})
	if out, err := x.h.Output(t.Context(), "stat", "-c", "%a %U", "/etc/site/policy.yaml"); err != nil || strings.TrimSpace(out) != "640 root" {
		t.Errorf("the included file: %q, %v", out, err)
	}
	// The image that nothing starts is there as well.
	x.run(x.b, 0, toolImage, "images", "list")
	x.run(x.b, 0, "", "images", "check")
}

// kept looks at the copy that a node keeps whose runtime forgets images: it needs nothing that came with the disk.
func (x *site) kept() {
	x.t.Helper()
	if x.s.Runtime == hosts.Containerd2 {
		return // it pins them
	}
	for _, b := range []clusters.Bundle{x.b, x.s.Bundle} {
		x.shell("cd /root && rm -r " + b.Folder + " " + b.Folder + ".tar.gz")
	}
	x.shell("/var/lib/kubebundle/bundle/install verify | grep -E 'signed with the key [0-9A-F]+ on " + x.s.Bundle.Folder + "$'")
	x.shell("systemctl restart kubebundle-images.service")
}
