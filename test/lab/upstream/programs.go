package upstream

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// set is a group of programs that are built together from one module.
type set struct {
	folder   string // below test/lab/upstream, or a package of ours
	packages []string
	own      bool // packages of this project's own module
	test     bool // a package's tests, as a program
	cgo      bool
	gopath   bool // a module from before modules: see gopathSources
	tags     string
	ldflags  string
	rename   map[string]string // what go build calls it -> what it is called
}

// kubernetes are Kubernetes' own programs, with the version stamped in as upstream's build does
// (k8s.io/kubernetes/hack/lib/version.sh). Where the kubelet needs C it is a set of its own: the other programs are static.
func kubernetes(version string) ([]set, error) {
	f := strings.Split(strings.TrimPrefix(version, "v"), ".")
	if len(f) != 3 {
		return nil, fmt.Errorf("version %q is not like v1.34.4", version)
	}
	minor, err := strconv.Atoi(f[1])
	if err != nil {
		return nil, fmt.Errorf("version %q is not like v1.34.4", version)
	}
	s := set{folder: version, gopath: minor < 15}
	stamped := []string{"k8s.io/component-base/version", "k8s.io/client-go/pkg/version"}
	if s.gopath {
		stamped[0] = "k8s.io/kubernetes/pkg/version"
	}
	var ld strings.Builder
	ld.WriteString("-s -w")
	for _, p := range stamped {
		fmt.Fprintf(&ld, " -X %[1]s.gitVersion=%[2]s -X %[1]s.gitMajor=%[3]s -X %[1]s.gitMinor=%[4]s -X %[1]s.gitTreeState=clean"+
			" -X %[1]s.gitCommit=0000000000000000000000000000000000000000", p, version, f[0], f[1])
	}
	s.ldflags = ld.String()
	for _, n := range []string{"kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "kubelet", "kubectl", "kubeadm"} {
		s.packages = append(s.packages, "k8s.io/kubernetes/cmd/"+n)
	}
	if !s.gopath {
		return []set{s}, nil
	}
	kubelet := s
	kubelet.cgo, kubelet.packages = true, []string{"k8s.io/kubernetes/cmd/kubelet"} // it links runc's code, which begins in C
	s.packages = slices.DeleteFunc(s.packages, func(p string) bool { return p == kubelet.packages[0] })
	return []set{s, kubelet}, nil
}

const cniPath = "github.com/containernetworking/plugins/plugins/"

// What is built beside Kubernetes. The versions are those that resolve as modules; where a release names another tag, the
// image's label says what is really in it.
var (
	etcd = set{
		folder:   "etcd-v3.6.8",
		packages: []string{"go.etcd.io/etcd/server/v3", "go.etcd.io/etcd/etcdctl/v3", "go.etcd.io/etcd/etcdutl/v3"},
		ldflags:  "-s -w",
		rename:   map[string]string{"server": "etcd"},
	}
	coredns    = set{folder: "coredns-v1.12.1", packages: []string{"github.com/coredns/coredns"}, ldflags: "-s -w"}
	oldCoreDNS = set{folder: "coredns-v1.2.0", packages: []string{"."}, ldflags: "-s -w"}
	cniPlugins = set{
		folder: "cni-plugins-v1.7.1",
		packages: []string{
			cniPath + "ipam/dhcp", cniPath + "ipam/host-local", cniPath + "ipam/static", cniPath + "main/bridge", cniPath + "main/dummy",
			cniPath + "main/host-device", cniPath + "main/ipvlan", cniPath + "main/loopback", cniPath + "main/macvlan", cniPath + "main/ptp",
			cniPath + "main/tap", cniPath + "main/vlan", cniPath + "meta/bandwidth", cniPath + "meta/firewall", cniPath + "meta/portmap",
			cniPath + "meta/sbr", cniPath + "meta/tuning", cniPath + "meta/vrf",
		},
		ldflags: "-s -w",
	}
	// The last version that has the flannel plugin; it goes into an image of its own, as flannel's project does it.
	flannelCNI = set{folder: "cni-plugins-v0.9.1", packages: []string{cniPath + "meta/flannel"}, ldflags: "-s -w"}
	flannel    = set{
		folder: "flannel-v0.26.7", packages: []string{"github.com/flannel-io/flannel"}, cgo: true,
		ldflags: "-s -w -X github.com/flannel-io/flannel/pkg/version.Version=v0.26.7", rename: map[string]string{"flannel": "flanneld"},
	}
	containerd2 = set{
		folder: "containerd-v2.4.2",
		packages: []string{
			"github.com/containerd/containerd/v2/cmd/containerd", "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2",
			"github.com/containerd/containerd/v2/cmd/ctr",
		},
		ldflags: "-s -w",
	}
	runc = set{folder: "runc-v1.4.3", packages: []string{"github.com/opencontainers/runc"}, cgo: true, tags: "seccomp", ldflags: "-s -w"}

	// What stands for cri-dockerd is a module of its own: dockershim wants the dependencies of Kubernetes v1.23.
	criDockerd = set{folder: "cri-dockerd", packages: []string{"."}, ldflags: "-s -w"}

	pauseSet  = set{folder: "pause", packages: []string{"./test/lab/upstream/pause"}, own: true, ldflags: "-s -w"}
	runcwrap  = set{folder: "runcwrap", packages: []string{"./test/lab/upstream/runcwrap"}, own: true, ldflags: "-s -w"}
	crictlSet = set{folder: "crictl", packages: []string{"./test/lab/upstream/crictl"}, own: true, ldflags: "-s -w"}
)

// sources are the files whose content decides what comes out.
func (s set) sources(module string) ([]string, error) {
	dir := filepath.Join(module, "test/lab/upstream", s.folder)
	if _, err := os.Stat(dir); err != nil {
		return nil, fmt.Errorf("no module for %s: %w (a folder with go.mod, go.sum and tools.go makes one)", s.folder, err)
	}
	if s.own {
		return filepath.Glob(filepath.Join(dir, "*.go"))
	}
	var files []string
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files = append(files, p)
		}
		return err
	})
	return files, err
}
