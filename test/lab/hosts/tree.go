package hosts

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"kubebundle/test/lab/cache"
)

// Runtime is what a host has installed before the installer comes.
type Runtime string

// The runtimes a host can have.
const (
	None        Runtime = "none"        // no container runtime
	Containerd  Runtime = "containerd"  // the distribution's containerd and runc
	Containerd2 Runtime = "containerd2" // containerd 2.x and runc built from their modules
	Docker      Runtime = "docker"      // the distribution's docker.io
	CRIDockerd  Runtime = "cri-dockerd" // that, and in front of it what the lab has for cri-dockerd
)

// Runtimes lists the valid values.
func Runtimes() []Runtime { return []Runtime{Containerd, Containerd2, Docker, CRIDockerd, None} }

// HasDocker says whether the hosts have Docker.
func (r Runtime) HasDocker() bool { return r == Docker || r == CRIDockerd }

const suite = "bookworm"

// basePackages are on every host: what a server installation of Debian has and Kubernetes asks for.
var basePackages = []string{
	"ca-certificates", "conntrack", "dbus", "ebtables", "ethtool", "iproute2", "iptables", "iputils-ping", "kmod", "mount",
	"nftables", "procps", "socat", "systemd", "systemd-sysv", "udev", "util-linux",
}

// runtimePackages are the distribution's packages of a runtime. Containerd2 needs libseccomp for its runc.
var runtimePackages = map[Runtime][]string{
	Containerd:  {"containerd", "runc"},
	Containerd2: {"libseccomp2"},
	Docker:      {"docker.io"},
	CRIDockerd:  {"docker.io"},
}

// Trees makes and caches root trees.
type Trees struct {
	Dir string // where they are kept
	// Binaries gives the folder with programs that are not the distribution's: containerd, containerd-shim-runc-v2, ctr
	// and runc for Containerd2, the wrapper of runc for Docker, and with it cri-dockerd for CRIDockerd. Its name holds a key of what is inside.
	Binaries func(ctx context.Context, rt Runtime) (string, error)
}

// Tree returns the root tree for a runtime. It is never booted: hosts get copies.
func (t Trees) Tree(ctx context.Context, rt Runtime) (string, error) {
	if !slices.Contains(Runtimes(), rt) {
		return "", fmt.Errorf("runtime %q is not one of %v", rt, Runtimes())
	}
	baseName := "base-" + cache.Key(append([]string{suite, runtime.GOARCH}, basePackages...)...)
	base, err := cache.Once(ctx, t.Dir, baseName, debootstrap)
	if err != nil || rt == None {
		return base, err
	}
	key := append([]string{baseName, "1"}, runtimePackages[rt]...)
	var bin string
	if rt == Containerd2 || rt.HasDocker() {
		if bin, err = t.Binaries(ctx, rt); err != nil {
			return "", err
		}
		key = append(key, bin) // the folder's name holds the key of its inputs
	}
	return cache.Once(ctx, t.Dir, string(rt)+"-"+cache.Key(key...), func(ctx context.Context, tmp string) error {
		if _, err := run(ctx, "cp", "-a", "--reflink=auto", base+"/.", tmp); err != nil {
			return err
		}
		if err := aptInstall(ctx, tmp, runtimePackages[rt]...); err != nil {
			return err
		}
		switch rt {
		case Containerd2:
			return installContainerd2(ctx, tmp, bin)
		case Docker:
			return installProgram(ctx, bin, "runcwrap", tmp, "usr/local/sbin")
		case CRIDockerd:
			return errors.Join(installProgram(ctx, bin, "runcwrap", tmp, "usr/local/sbin"), installCRIDockerd(ctx, tmp, bin))
		case Containerd, None:
		}
		return nil
	})
}

// debootstrap makes the tree that all others start from. The address of the archive is the one that the machine's own
// apt uses, so that no mirror is named here.
func debootstrap(ctx context.Context, tmp string) error {
	args := []string{"--variant=minbase", "--include=" + strings.Join(basePackages, ","), suite, tmp}
	if uri := archive(ctx); uri != "" {
		args = append(args, uri)
	}
	if _, err := run(ctx, "debootstrap", args...); err != nil {
		return err
	}
	return slim(tmp)
}

// archive is the URI from which the machine's apt takes Debian's main component, "" if it is not to be found (the tool's
// default then).
func archive(ctx context.Context) string {
	out, err := run(ctx, "apt-get", "indextargets", "--format", "$(CREATED_BY) $(RELEASE) $(COMPONENT) $(REPO_URI)")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(out) {
		f := strings.Fields(line)
		if len(f) == 4 && f[0] == "Packages" && f[1] == suite && f[2] == "main" {
			return f[3]
		}
	}
	return ""
}

// aptInstall installs packages into a tree that is not running, in a mount namespace of its own so that nothing stays
// mounted when it is killed.
func aptInstall(ctx context.Context, tree string, pkgs ...string) error {
	policy := filepath.Join(tree, "usr/sbin/policy-rc.d") // no daemon is started while installing
	if err := os.WriteFile(policy, []byte("#!/bin/sh\nexit 101\n"), 0o755); err != nil {
		return err
	}
	resolv, err := os.ReadFile("/etc/resolv.conf")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(tree, "etc/resolv.conf"), resolv, 0o644); err != nil {
		return err
	}
	script := `mount --make-rprivate / && mount -t proc none "$0/proc" && mount -t tmpfs none "$0/tmp" &&
tree=$0 && export DEBIAN_FRONTEND=noninteractive PATH=/usr/sbin:/usr/bin:/sbin:/bin &&
chroot "$tree" apt-get -q update && exec chroot "$tree" apt-get -q -y --no-install-recommends install "$@"`
	args := append([]string{"--mount", "--fork", "sh", "-c", script, tree}, pkgs...)
	if _, err := run(ctx, "unshare", args...); err != nil {
		return err
	}
	if err := os.Remove(policy); err != nil {
		return err
	}
	return slim(tree)
}

// slim drops what no test looks at: a host's tree is copied for every host.
func slim(tree string) error {
	var errs []error
	for _, p := range []string{"var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info"} {
		errs = append(errs, os.RemoveAll(filepath.Join(tree, p)))
	}
	// apt wants these back when the next layer of packages is installed.
	for _, p := range []string{"var/cache/apt/archives/partial", "var/lib/apt/lists/partial"} {
		errs = append(errs, os.MkdirAll(filepath.Join(tree, p), 0o755))
	}
	return errors.Join(errs...)
}

const containerdUnit = `[Unit]
Description=containerd container runtime
After=network.target dbus.service

[Service]
ExecStart=/usr/local/bin/containerd
Type=notify
Delegate=yes
KillMode=process
Restart=always
RestartSec=5
LimitNOFILE=infinity
TasksMax=infinity

[Install]
WantedBy=multi-user.target
`

// criDockerdUnit has the name that cri-dockerd's own files give it.
const criDockerdUnit = `[Unit]
Description=CRI for Docker
After=network-online.target docker.service
Requires=docker.service

[Service]
ExecStart=/usr/local/bin/cri-dockerd --network-plugin=cni
Restart=always
RestartSec=2
KillMode=process

[Install]
WantedBy=multi-user.target
`

func installCRIDockerd(ctx context.Context, tree, bin string) error {
	if err := installProgram(ctx, bin, "cri-dockerd", tree, "usr/local/bin"); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(tree, "etc/systemd/system/cri-docker.service"), []byte(criDockerdUnit), 0o644); err != nil {
		return err
	}
	_, err := run(ctx, "systemctl", "--root="+tree, "enable", "cri-docker.service")
	return err
}

func installProgram(ctx context.Context, from, name, tree, to string) error {
	_, err := run(ctx, "install", "-m", "0755", filepath.Join(from, name), filepath.Join(tree, to, name))
	return err
}

func installContainerd2(ctx context.Context, tree, bin string) error {
	for _, name := range []string{"containerd", "containerd-shim-runc-v2", "ctr"} {
		if err := installProgram(ctx, bin, name, tree, "usr/local/bin"); err != nil {
			return err
		}
	}
	if err := installProgram(ctx, bin, "runc", tree, "usr/local/sbin"); err != nil {
		return err
	}
	unit := filepath.Join(tree, "etc/systemd/system/containerd.service")
	if err := os.WriteFile(unit, []byte(containerdUnit), 0o644); err != nil {
		return err
	}
	_, err := run(ctx, "systemctl", "--root="+tree, "enable", "containerd.service")
	return err
}
