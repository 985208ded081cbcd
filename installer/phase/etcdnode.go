package phase

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/yaml"

	"kubebundle/installer/host"
	"kubebundle/installer/step"
	"kubebundle/release"
)

// NodeEtcd is the etcd that a control plane node's static pods use.
type NodeEtcd struct {
	// Conn reaches it with this node's own credentials.
	Conn step.EtcdConn
	// Local says that it is a static pod of this node. The rest is known only then.
	Local    bool
	Name     string
	PeerURLs []string
	DataDir  string
	// Ports are what it listens to.
	Ports []int
}

// NoEtcdError says that a host is no control plane node.
type NoEtcdError struct{ Dir string }

func (e *NoEtcdError) Error() string {
	return e.Dir + " has neither etcd.yaml nor kube-apiserver.yaml: this host is no control plane node"
}

// Hint says where to go.
func (e *NoEtcdError) Hint() string { return "run this on a control plane node" }

// FindEtcd reads the static pods in the first of dirs that has them.
func FindEtcd(r host.Reader, dirs ...string) (NodeEtcd, error) {
	for _, dir := range dirs {
		pod, err := readPod(r, path.Join(dir, string(release.Etcd)+".yaml"))
		if err == nil {
			return localEtcd(pod), nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return NodeEtcd{}, err
		}
	}
	for _, dir := range dirs {
		pod, err := readPod(r, path.Join(dir, string(release.APIServer)+".yaml"))
		if err == nil {
			return farEtcd(pod)
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return NodeEtcd{}, err
		}
	}
	return NodeEtcd{}, &NoEtcdError{Dir: dirs[0]}
}

// localEtcd reads a static pod of etcd. Up to v1.12 it has no names and listens to its own node only: etcd's defaults.
func localEtcd(pod *corev1.Pod) NodeEtcd {
	ca := podArg(pod, "trusted-ca-file", "/etc/kubernetes/pki/etcd/ca.crt")
	clients := strings.Split(podArg(pod, "listen-client-urls", "https://127.0.0.1:2379"), ",")
	e := NodeEtcd{
		Conn: step.EtcdConn{
			CAFile: ca, CertFile: path.Join(path.Dir(ca), "healthcheck-client.crt"), KeyFile: path.Join(path.Dir(ca), "healthcheck-client.key"),
			Endpoints: clients[:1],
		},
		Local: true, Name: podArg(pod, "name", "default"), DataDir: path.Clean(podArg(pod, "data-dir", "/var/lib/etcd")),
		PeerURLs: strings.Split(podArg(pod, "initial-advertise-peer-urls", "http://localhost:2380"), ","),
	}
	for _, u := range append(clients, strings.Split(podArg(pod, "listen-peer-urls", "http://localhost:2380"), ",")...) {
		e.Ports = append(e.Ports, portOf(u))
	}
	for _, v := range pod.Spec.Volumes {
		if v.Name == "etcd-data" && v.HostPath != nil {
			e.DataDir = path.Clean(v.HostPath.Path)
		}
	}
	e.Ports = append(e.Ports, probePorts(pod)...)
	slices.Sort(e.Ports)
	e.Ports = slices.DeleteFunc(slices.Compact(e.Ports), func(p int) bool { return p == 0 })
	return e
}

// farEtcd is what an API server was told about an etcd elsewhere.
func farEtcd(pod *corev1.Pod) (NodeEtcd, error) {
	e := NodeEtcd{Conn: step.EtcdConn{
		CAFile: podArg(pod, "etcd-cafile", ""), CertFile: podArg(pod, "etcd-certfile", ""), KeyFile: podArg(pod, "etcd-keyfile", ""),
		Endpoints: strings.Split(podArg(pod, "etcd-servers", ""), ",")[:1], // a snapshot is of one member
	}}
	if e.Conn.CAFile == "" || e.Conn.CertFile == "" || e.Conn.Endpoints[0] == "" {
		return e, errors.New("kube-apiserver names no etcd with TLS (--etcd-servers, --etcd-cafile, --etcd-certfile)")
	}
	return e, nil
}

func readPod(r host.Reader, file string) (*corev1.Pod, error) {
	data, err := r.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var pod corev1.Pod
	if err := yaml.Unmarshal(data, &pod); err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	return &pod, nil
}

// podArg is the value of an argument, as in "--name=value".
func podArg(pod *corev1.Pod, name, missing string) string {
	for i := range pod.Spec.Containers {
		c := &pod.Spec.Containers[i]
		for _, a := range slices.Concat(c.Command, c.Args) {
			if v, ok := strings.CutPrefix(a, "--"+name+"="); ok {
				return v
			}
		}
	}
	return missing
}

func portOf(address string) int {
	u, err := url.Parse(address)
	if err != nil {
		return 0
	}
	p, err := strconv.Atoi(u.Port())
	if err != nil {
		return 0
	}
	return p
}

// probePorts are the ports that a component is asked for its health at: it listens there as long as it runs.
func probePorts(pod *corev1.Pod) []int {
	var out []int
	for i := range pod.Spec.Containers {
		c := &pod.Spec.Containers[i]
		if c.LivenessProbe == nil || c.LivenessProbe.HTTPGet == nil {
			continue
		}
		port := c.LivenessProbe.HTTPGet.Port
		n := port.IntValue()
		for _, p := range c.Ports {
			if port.Type == intstr.String && p.Name == port.StrVal {
				n = int(p.ContainerPort)
			}
		}
		out = append(out, n)
	}
	return out
}
