package manifests

import (
	"cmp"
	"path"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/version"
	"k8s.io/utils/ptr"
)

const caCertsDir = "/etc/ssl/certs"

// mounts are the host paths of a static pod by volume name; a later one of the same name replaces an earlier one, which is how a
// user's extraVolumes override a default (kubeadm 1.34 phases/controlplane/volumes.go).
type mounts map[string]HostPathMount

func (m mounts) add(name, hostPath string, readOnly bool, kind corev1.HostPathType) {
	m[name] = HostPathMount{Name: name, HostPath: hostPath, MountPath: hostPath, ReadOnly: readOnly, PathType: kind}
}

func (m mounts) addExtra(extra []HostPathMount) {
	for _, e := range extra {
		m[e.Name] = e
	}
}

// addCADirs mounts those of the host's CA folders that /etc/ssl/certs may link into.
func (m mounts) addCADirs(n *Node) {
	for _, dir := range n.CADirs {
		m.add(strings.ReplaceAll(strings.TrimPrefix(dir, "/"), "/", "-"), dir, true, corev1.HostPathDirectoryOrCreate)
	}
}

// split gives volumes and their mounts, both sorted by name.
func (m mounts) split() ([]corev1.Volume, []corev1.VolumeMount) {
	var (
		volumes      []corev1.Volume
		volumeMounts []corev1.VolumeMount
	)
	for _, e := range m {
		volumes = append(volumes, corev1.Volume{
			Name: e.Name,
			VolumeSource: corev1.VolumeSource{
				HostPath: &corev1.HostPathVolumeSource{Path: e.HostPath, Type: ptr.To(e.PathType)},
			},
		})
		volumeMounts = append(volumeMounts, corev1.VolumeMount{Name: e.Name, MountPath: e.MountPath, ReadOnly: e.ReadOnly})
	}
	slices.SortFunc(volumes, func(a, b corev1.Volume) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(volumeMounts, func(a, b corev1.VolumeMount) int { return cmp.Compare(a.Name, b.Name) })
	return volumes, volumeMounts
}

// ExtraCADirs lists the CA folders that static pods mount if the host has them (kubeadm 1.10, 1.11, 1.31 volumes.go).
func ExtraCADirs(v *version.Version) []string {
	return slices.Clone(pick(v, extraCADirs))
}

var extraCADirs = []row[[]string]{
	{until(10), []string{"/etc/pki"}},
	{between(11, 30), []string{"/etc/pki", "/usr/share/ca-certificates", "/usr/local/share/ca-certificates", "/etc/ca-certificates"}},
	{since(31), []string{
		"/etc/pki/ca-trust", "/etc/pki/tls/certs", "/etc/ca-certificates", "/usr/share/ca-certificates", "/usr/local/share/ca-certificates",
	}},
}

// addExternalEtcd mounts the folders of an external etcd's client certificates that no other mount holds, parents before children.
func (m mounts) addExternalEtcd(c *Cluster) {
	e := c.Etcd.External
	if e == nil {
		return
	}
	covered := append(ExtraCADirs(c.Version), caCertsDir, c.CertificatesDir)
	var dirs []string
	for _, file := range []string{e.CAFile, e.CertFile, e.KeyFile} {
		if file != "" {
			dirs = append(dirs, path.Dir(file))
		}
	}
	slices.Sort(dirs)
	i := 0
	for _, dir := range dirs {
		if slices.ContainsFunc(covered, func(parent string) bool { return isBelow(dir, parent) }) {
			continue
		}
		m.add("etcd-certs-"+strconv.Itoa(i), dir, true, corev1.HostPathDirectoryOrCreate)
		covered = append(covered, dir)
		i++
	}
}

// isBelow reports whether dir is parent or inside it.
func isBelow(dir, parent string) bool {
	return dir == parent || strings.HasPrefix(dir, strings.TrimSuffix(parent, "/")+"/")
}
