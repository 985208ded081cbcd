package manifests

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// pod renders and reads back one static pod.
func pod(t *testing.T, c *Cluster, n *Node, component string) *corev1.Pod {
	t.Helper()
	f, err := StaticPod(c, n, component)
	if err != nil {
		t.Fatal(err)
	}
	p := &corev1.Pod{}
	if err := yaml.UnmarshalStrict(f.Data, p); err != nil {
		t.Fatal(err)
	}
	return p
}

// TestFlagSpans: the minors in which a component has an argument, first and last (0: still).
func TestFlagSpans(t *testing.T) {
	for _, tc := range []struct {
		component, arg string
		first, last    uint
	}{
		{"kube-apiserver", "--admission-control=" + admissionControl, 10, 10},
		{"kube-apiserver", "--enable-admission-plugins=NodeRestriction", 11, 0},
		{"kube-apiserver", "--disable-admission-plugins=PersistentVolumeLabel", 11, 11},
		{"kube-apiserver", "--insecure-port=0", 10, 21},
		{"kube-apiserver", "--service-account-issuer=https://kubernetes.default.svc.cluster.local", 20, 0},
		{"kube-apiserver", "--service-account-signing-key-file=/etc/kubernetes/pki/sa.key", 20, 0},
		{"kube-apiserver", "--authorization-mode=Node,RBAC", 10, 0},
		{"kube-controller-manager", "--address=127.0.0.1", 10, 13},
		{"kube-controller-manager", "--bind-address=127.0.0.1", 14, 0},
		{"kube-controller-manager", "--port=0", 16, 22},
		{"kube-controller-manager", "--client-ca-file=/etc/kubernetes/pki/ca.crt", 12, 0},
		{"kube-controller-manager", "--cluster-name=kubernetes", 18, 0},
		{"kube-controller-manager", "--node-cidr-mask-size=24", 10, 19},
		{"kube-controller-manager", "--service-cluster-ip-range=10.96.0.0/12", 16, 0},
		{"kube-scheduler", "--port=0", 16, 22},
		{"kube-scheduler", "--authentication-kubeconfig=/etc/kubernetes/scheduler.conf", 16, 0},
		{"etcd", "--name=cp1", 11, 0},
		{"etcd", "--listen-client-urls=https://127.0.0.1:2379", 10, 12},
		{"etcd", "--listen-client-urls=https://127.0.0.1:2379,https://10.77.0.11:2379", 13, 0},
		{"etcd", "--initial-cluster=cp1=https://10.77.0.11:2380", 13, 0},
		{"etcd", "--listen-metrics-urls=http://127.0.0.1:2381", 16, 0},
		{"etcd", "--experimental-initial-corrupt-check=true", 22, 33},
		{"etcd", "--experimental-watch-progress-notify-interval=5s", 25, 33},
		{"etcd", "--feature-gates=InitialCorruptCheck=true", 34, 0},
		{"etcd", "--watch-progress-notify-interval=5s", 34, 0},
	} {
		want := span{tc.first, tc.last}
		for _, v := range everyMinor() {
			c := at(t, v)
			args := pod(t, c, controlPlane(), tc.component).Spec.Containers[0].Command
			if got := slices.Contains(args, tc.arg); got != want.has(minorOf(c.Version)) {
				t.Errorf("v%s: %s has %s: %v, want %v", v, tc.component, tc.arg, got, !got)
			}
		}
	}
}

// TestEtcdFlagsFollowTheImage: etcd 3.5 does not know the new names, whatever Kubernetes it serves.
func TestEtcdFlagsFollowTheImage(t *testing.T) {
	for image, want := range map[string]bool{
		"registry.k8s.io/etcd:3.5.24-0":               false,
		"registry.k8s.io/etcd:3.6.0-0":                true,
		"host:5000/etcd:3.6.5-0":                      true,
		"host:5000/etcd":                              true,
		"host:5000/etcd:3.5.1@sha256:0123456789abcde": false,
		"etcd:custom":                                 true,
	} {
		c := at(t, "1.34.4")
		c.Images["etcd"] = image
		args := pod(t, c, controlPlane(), "etcd").Spec.Containers[0].Command
		if got := slices.Contains(args, "--feature-gates=InitialCorruptCheck=true"); got != want {
			t.Errorf("%s: new names %v, want %v", image, got, want)
		}
	}
}

// TestProbes: where each component is asked (facts section 4.1).
func TestProbes(t *testing.T) {
	const none = ""
	for _, tc := range []struct {
		component                    string
		versions                     span
		port, live, ready, startPath string
	}{
		{"kube-apiserver", between(10, 18), "HTTPS 10.77.0.11 6443", "/healthz", none, none},
		{"kube-apiserver", between(19, 33), "HTTPS 10.77.0.11 6443", "/livez", "/readyz", "/livez"},
		{"kube-apiserver", since(34), "HTTPS 10.77.0.11 probe-port", "/livez", "/readyz", "/livez"},
		{"kube-controller-manager", between(10, 15), "HTTP 127.0.0.1 10252", "/healthz", none, none},
		{"kube-controller-manager", between(16, 18), "HTTPS 127.0.0.1 10257", "/healthz", none, none},
		{"kube-controller-manager", between(19, 33), "HTTPS 127.0.0.1 10257", "/healthz", none, "/healthz"},
		{"kube-controller-manager", since(34), "HTTPS 127.0.0.1 probe-port", "/healthz", none, "/healthz"},
		{"kube-scheduler", between(10, 15), "HTTP 127.0.0.1 10251", "/healthz", none, none},
		{"kube-scheduler", between(16, 18), "HTTPS 127.0.0.1 10259", "/healthz", none, none},
		{"kube-scheduler", between(19, 31), "HTTPS 127.0.0.1 10259", "/healthz", none, "/healthz"},
		{"kube-scheduler", between(32, 33), "HTTPS 127.0.0.1 10259", "/livez", "/readyz", "/livez"},
		{"kube-scheduler", since(34), "HTTPS 127.0.0.1 probe-port", "/livez", "/readyz", "/livez"},
		{"etcd", between(16, 18), "HTTP 127.0.0.1 2381", "/health", none, none},
		{"etcd", between(19, 24), "HTTP 127.0.0.1 2381", "/health", none, "/health"},
		{"etcd", between(25, 30), "HTTP 127.0.0.1 2381", "/health?exclude=NOSPACE&serializable=true", none, "/health?serializable=false"},
		{"etcd", between(31, 33), "HTTP 127.0.0.1 2381", "/livez", "/readyz", "/readyz"},
		{"etcd", since(34), "HTTP 127.0.0.1 probe-port", "/livez", "/readyz", "/readyz"},
	} {
		for _, v := range everyMinor() {
			c := at(t, v)
			if !tc.versions.has(minorOf(c.Version)) {
				continue
			}
			container := pod(t, c, controlPlane(), tc.component).Spec.Containers[0]
			for name, got := range map[string]struct {
				probe *corev1.Probe
				want  string
			}{
				"liveness":  {container.LivenessProbe, tc.live},
				"readiness": {container.ReadinessProbe, tc.ready},
				"startup":   {container.StartupProbe, tc.startPath},
			} {
				if text := describeProbe(got.probe); text != strings.TrimSpace(map[bool]string{true: "", false: tc.port + " " + got.want}[got.want == none]) {
					t.Errorf("v%s %s %s: %q, want %s %s", v, tc.component, name, text, tc.port, got.want)
				}
			}
		}
	}
	for _, v := range []string{"1.10.6", "1.15.12"} {
		probe := pod(t, at(t, v), controlPlane(), "etcd").Spec.Containers[0].LivenessProbe
		if probe.Exec == nil || !strings.Contains(probe.Exec.Command[2], "etcdctl") {
			t.Errorf("v%s: etcd is not asked with etcdctl: %v", v, probe)
		}
	}
}

func describeProbe(p *corev1.Probe) string {
	if p == nil {
		return ""
	}
	return string(p.HTTPGet.Scheme) + " " + p.HTTPGet.Host + " " + p.HTTPGet.Port.String() + " " + p.HTTPGet.Path
}

// TestProbeHosts: components that listen elsewhere are asked there; a wildcard means the pod's own address.
func TestProbeHosts(t *testing.T) {
	c := at(t, "1.36.3")
	c.ControllerManager.ExtraArgs = []Arg{{"bind-address", "0.0.0.0"}}
	c.Scheduler.ExtraArgs = []Arg{{"bind-address", "10.1.1.1"}}
	if got := pod(t, c, controlPlane(), "kube-controller-manager").Spec.Containers[0].LivenessProbe.HTTPGet.Host; got != "" {
		t.Errorf("wildcard: asked at %q", got)
	}
	if got := pod(t, c, controlPlane(), "kube-scheduler").Spec.Containers[0].LivenessProbe.HTTPGet.Host; got != "10.1.1.1" {
		t.Errorf("bind address: asked at %q", got)
	}
	c.Etcd.Local.ExtraArgs = []Arg{{"listen-metrics-urls", "https://10.2.2.2:9000,http://x:1"}}
	etcd := pod(t, c, controlPlane(), "etcd").Spec.Containers[0]
	if got := describeProbe(etcd.LivenessProbe); got != "HTTPS 10.2.2.2 probe-port /livez" || etcd.Ports[0].ContainerPort != 9000 {
		t.Errorf("metrics URL: asked at %q port %d", got, etcd.Ports[0].ContainerPort)
	}
}

// TestExtraArgsReplaceDefaults: all defaults of a name that the user gives go, every one of the user's stays, in order.
func TestExtraArgsReplaceDefaults(t *testing.T) {
	got := mergeArgs(
		[]Arg{{"z", "1"}, {"b", "default"}, {"a", "1"}, {"b", "other"}},
		[]Arg{{"y", "1"}, {"b", "first"}, {"b", "second"}, {"c", "1"}},
	)
	want := []Arg{{"a", "1"}, {"z", "1"}, {"y", "1"}, {"b", "first"}, {"b", "second"}, {"c", "1"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestAuthorizationConfig: the API server refuses modes beside a structured configuration.
func TestAuthorizationConfig(t *testing.T) {
	c := at(t, "1.34.4")
	c.APIServer.ExtraArgs = []Arg{{"authorization-config", "/x"}}
	for _, a := range pod(t, c, controlPlane(), "kube-apiserver").Spec.Containers[0].Command {
		if strings.HasPrefix(a, "--authorization-mode") {
			t.Errorf("has %s", a)
		}
	}
}

// TestStaticPodRefuses what it cannot render.
func TestStaticPodRefuses(t *testing.T) {
	c, n := at(t, "1.36.3"), controlPlane()
	c.Etcd.External = &ExternalEtcd{}
	delete(c.Images, "kube-scheduler")
	n2 := controlPlane()
	n2.AdvertiseAddress = nil
	for name, tc := range map[string]struct {
		n               *Node
		component, want string
	}{
		"external etcd": {n, "etcd", "external"}, "no image": {n, "kube-scheduler", "no image"},
		"unknown": {n, "kubelet", "not a component"}, "no address": {n2, "kube-apiserver", "--apiserver-advertise-address"},
	} {
		if _, err := StaticPod(c, tc.n, tc.component); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
	}
}

// TestExternalEtcd mounts the folders of its certificates once, parents before children, and names its endpoints.
func TestExternalEtcd(t *testing.T) {
	c := at(t, "1.36.3")
	c.Etcd.External = &ExternalEtcd{
		Endpoints: []string{"https://e1:2379", "https://e2:2379"},
		CAFile:    "/srv/etcd/ca.crt", CertFile: "/srv/etcd/client/c.crt", KeyFile: "/etc/kubernetes/pki/etcd.key",
	}
	p := pod(t, c, controlPlane(), "kube-apiserver")
	var mounted []string
	for _, v := range p.Spec.Volumes {
		if strings.HasPrefix(v.Name, "etcd-certs") {
			mounted = append(mounted, v.Name+"="+v.HostPath.Path)
		}
	}
	if diff := cmp.Diff([]string{"etcd-certs-0=/srv/etcd"}, mounted); diff != "" {
		t.Error(diff)
	}
	if !slices.Contains(p.Spec.Containers[0].Command, "--etcd-servers=https://e1:2379,https://e2:2379") {
		t.Errorf("endpoints: %v", p.Spec.Containers[0].Command)
	}
}

// TestNodeMask: IPv6 shares end on a byte (kubeadm 1.18).
func TestNodeMask(t *testing.T) {
	for subnet, want := range map[string]string{
		"10.0.0.0/16": "24", "fd00::/64": "80", "fd00::/104": "120", "fd00::/112": "120", "fd00::/120": "120", "fd00::/56": "72",
	} {
		if got := nodeMask(subnet); got != want {
			t.Errorf("%s: %s, want %s", subnet, got, want)
		}
	}
}
