package bundle

import (
	"errors"
	"fmt"
	"path"
	"strings"
)

// IncludePrefix is where files lie in the payload that go to places of the user's choice: include/etc/motd becomes /etc/motd.
const IncludePrefix = "include/"

// Dest is the absolute path at which the installer puts a file that the user included, "" for other files.
func (f *File) Dest() string {
	if rest, ok := strings.CutPrefix(f.Path, IncludePrefix); ok && rest != "" {
		return "/" + rest
	}
	return ""
}

// forbidden are places where an included file would break a host or a cluster, or would be gone after the next start. A place
// that ends with a slash takes everything below with it. This is against mistakes: who can write a bundle is trusted like root.
func forbidden() map[string]string {
	const (
		kernel  = "belongs to the kernel, or is emptied at every start"
		cluster = "is made by the installer or by Kubernetes"
		state   = "is the state of a program that runs"
		users   = "decides who may log in"
		bundles = "is filled from the bundle's own programs and units"
		loaded  = "decides whether the host starts at all"
	)
	return map[string]string{
		"/dev/": kernel, "/proc/": kernel, "/sys/": kernel, "/run/": kernel, "/var/run/": kernel, "/tmp/": kernel,
		"/etc/kubernetes/pki/": cluster, "/etc/kubernetes/manifests/": cluster, "/etc/kubernetes/tmp/": cluster,
		"/etc/kubernetes/admin.conf": cluster, "/etc/kubernetes/super-admin.conf": cluster, "/etc/kubernetes/kubelet.conf": cluster,
		"/etc/kubernetes/bootstrap-kubelet.conf": cluster, "/etc/kubernetes/controller-manager.conf": cluster, "/etc/kubernetes/scheduler.conf": cluster,
		"/var/lib/kubelet/": cluster, "/var/lib/etcd/": cluster, "/var/lib/kubebundle/": cluster, "/var/lib/cni/": state,
		"/var/lib/containerd/": state, "/var/lib/docker/": state, "/var/lib/dpkg/": state, "/var/lib/rpm/": state,
		"/etc/containerd/config.toml": "is changed by the installer, with --configure-runtime",
		"/usr/bin/kubelet":            bundles, "/usr/bin/kubectl": bundles, "/usr/bin/crictl": bundles,
		"/etc/systemd/system/kubelet.service": bundles, "/etc/systemd/system/kubelet.service.d/10-kubeadm.conf": bundles,
		"/etc/passwd": users, "/etc/shadow": users, "/etc/group": users, "/etc/gshadow": users, "/etc/sudoers": users, "/etc/pam.d/": users, "/root/.ssh/": users,
		"/boot/": loaded, "/etc/fstab": loaded, "/etc/ld.so.preload": loaded, "/lib/modules/": loaded,
	}
}

// CheckDest refuses a path at which no included file may go: one that is not a plain absolute path of a file, and places where it
// would do harm. Validate insists on the form only, so that a bundle stays readable when places are added here.
func CheckDest(dest string) error {
	switch {
	case !strings.HasPrefix(dest, "/"):
		return errors.New("is not an absolute path")
	case strings.HasSuffix(dest, "/"):
		return errors.New("is a folder, not the path of a file")
	case path.Clean(dest) != dest:
		return fmt.Errorf("is not written plainly, as %s", path.Clean(dest))
	case !plain(dest):
		return errors.New("has characters other than printable ASCII, or spaces, which the format does not hold")
	case len(IncludePrefix)+len(dest)-1 > maxPath:
		return fmt.Errorf("has %d characters, and the format holds %d", len(dest), maxPath-len(IncludePrefix)+1)
	}
	for place, why := range forbidden() {
		folder := strings.TrimSuffix(place, "/")
		if dest == folder || strings.HasSuffix(place, "/") && strings.HasPrefix(dest, place) {
			return fmt.Errorf("is refused: %s %s", folder, why)
		}
	}
	return nil
}
