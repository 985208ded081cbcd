package manifests

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "write the golden files anew; the run then fails, so that it is never left on")

// TestGolden holds every artefact of every release against testdata/<version>/<artefact>.
func TestGolden(t *testing.T) {
	for _, r := range releases {
		t.Run(r.version, func(t *testing.T) {
			got := renderAll(t, r.cluster(), controlPlane())
			compareDir(t, filepath.Join("testdata", r.version), got)
		})
	}
}

// TestGoldenOptions is the newest version with everything that a user can add, and with IPv6.
func TestGoldenOptions(t *testing.T) {
	compareDir(t, filepath.Join("testdata", "options"), renderAll(t, optionsCluster(), optionsNode()))
}

// renderAll gives every artefact of an init by file name.
func renderAll(t *testing.T, c *Cluster, n *Node) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	put := func(name string, data []byte, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		out[name] = data
	}
	files := func(list []File, err error) {
		t.Helper()
		for _, f := range list {
			put(filepath.Base(f.Path), append(fmt.Appendf(nil, "# %s %04o\n", f.Path, f.Mode), f.Data...), err)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	objects := func(name string, objs []runtime.Object, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		data, err := Encode(objs...)
		put(name, data, err)
	}
	server := Kubeconfigs(c, n)[0].Server
	for _, component := range []string{"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"} {
		f, err := StaticPod(c, n, component)
		files([]File{f}, err)
	}
	files(KubeletUnits(c.Version), nil)
	files(KubeletFiles(c, n))

	certs, err := Certificates(c, n)
	put("certificates.txt", []byte(describeCerts(certs)), err)
	put("kubeconfigs.txt", []byte(describeKubeconfigs(Kubeconfigs(c, n))), nil)
	data, err := Kubeconfig(c, Kubeconfigs(c, n)[0], []byte("CA"), []byte("CERT"), []byte("KEY"))
	put("admin.conf", data, err)
	data, err = BootstrapKubeconfig(c, server, []byte("CA"), "abcdef.0123456789abcdef")
	put("bootstrap-kubelet.conf", data, err)
	data, err = RotatedKubeletKubeconfig(c, n, server, []byte("CA"))
	put("kubelet.conf", data, err)

	cm, err := KubeadmConfigMap(c, n)
	objects("kubeadm-config.yaml", []runtime.Object{cm}, err)
	if kubelet, err := KubeletConfigMap(c); kubelet != nil || err != nil {
		objects("kubelet-config.yaml", []runtime.Object{kubelet}, err)
	}
	rbac := append(UploadConfigRBAC(c), BootstrapTokenRBAC(c)...)
	if b := ClusterAdminsBinding(c); b != nil {
		rbac = append(rbac, b)
	}
	objects("rbac.yaml", rbac, nil)
	info, err := ClusterInfo(c, server, []byte("CA"))
	objects("cluster-info.yaml", info, err)
	dns, err := DNS(c, true)
	objects("coredns.yaml", dns, err)
	put("Corefile", []byte(corefile(c.Version, c.DNSDomain, true)), nil)
	put("Corefile-no-nameservers", []byte(corefile(c.Version, c.DNSDomain, false)), nil)
	if !isSince(c.Version, 21) {
		old := *c
		old.KubeDNS = true
		dns, err := DNS(&old, true)
		objects("kube-dns.yaml", dns, err)
	}
	proxy, err := KubeProxy(c, n, server)
	objects("kube-proxy.yaml", proxy, err)
	node, err := yaml.Marshal(map[string]any{
		"labels":      ControlPlaneLabels(c.Version),
		"taints":      ControlPlaneTaints(c.Version),
		"annotations": NodeAnnotations(c, n),
		"caDirs":      ExtraCADirs(c.Version),
	})
	put("node.yaml", node, err)
	return out
}

func describeCerts(certs []CertSpec) string {
	var b strings.Builder
	for _, s := range certs {
		fmt.Fprintf(&b, "%s: %s signed by %q CN=%s O=%q dns=%q ip=%v usages=%v\n",
			s.Name, s.BaseName, s.CA, s.CommonName, s.Organization, s.DNSNames, s.IPAddresses, s.Usages)
	}
	return b.String()
}

func describeKubeconfigs(list []KubeconfigSpec) string {
	var b strings.Builder
	for _, k := range list {
		fmt.Fprintf(&b, "%s: %s CN=%s O=%q %s\n", k.Name, k.Path, k.CommonName, k.Organization, k.Server)
	}
	return b.String()
}

// compareDir compares files with a folder, both ways.
func compareDir(t *testing.T, dir string, got map[string][]byte) {
	t.Helper()
	if *update {
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		for name, data := range got {
			if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		t.Errorf("%s written; look at the difference, then run without -update", dir)
		return
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatalf("%v; run go test ./manifests -update", err)
	}
	want := map[string]string{}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		want[e.Name()] = string(data)
	}
	gotText := map[string]string{}
	for name, data := range got {
		gotText[name] = string(data)
	}
	if diff := cmp.Diff(want, gotText); diff != "" {
		t.Errorf("%s differs (-want +got); run with -update if that is meant:\n%s", dir, diff)
	}
}

// optionsCluster uses every field that a user can fill.
func optionsCluster() *Cluster {
	c := releases[len(releases)-1].cluster()
	component := func(name string) Component {
		return Component{
			ExtraArgs:    []Arg{{"v", "4"}, {"profiling", "false"}},
			ExtraVolumes: []HostPathMount{{Name: name, HostPath: "/srv/" + name, MountPath: "/srv/" + name, ReadOnly: true, PathType: corev1.HostPathDirectory}},
			ExtraEnvs:    []corev1.EnvVar{{Name: "WHO", Value: name}, {Name: "NO_PROXY", Value: "overridden"}},
		}
	}
	c.APIServer = component("api")
	c.APIServer.ExtraArgs = append(c.APIServer.ExtraArgs,
		Arg{"enable-admission-plugins", "NodeRestriction,PodNodeSelector"},
		Arg{"service-account-issuer", "https://issuer.example"}, Arg{"service-account-issuer", "https://old.example"},
		Arg{"authorization-config", "/srv/api/authz.yaml"})
	c.ControllerManager = component("kcm")
	c.ControllerManager.ExtraArgs = append(c.ControllerManager.ExtraArgs, Arg{"bind-address", "::"})
	c.Scheduler = component("sched")
	c.Etcd.Local = component("etcd")
	c.Etcd.Local.ExtraArgs = append(c.Etcd.Local.ExtraArgs, Arg{"listen-metrics-urls", "https://[::]:2391,http://other:1"})
	c.Etcd.ServerCertSANs = []string{"etcd.example", "fd00::99"}
	c.Etcd.PeerCertSANs = []string{"peer.example"}
	c.Etcd.InitialCluster = []string{"cp0=https://[fd00::10]:2380", "cp1=https://[fd00::11]:2380"}
	c.CertSANs = []string{"api.example", "*.wild.example", "fd00::1:1", "fd00::11"}
	c.ControlPlaneEndpoint = "lb.example"
	c.ServiceSubnet = "fd00:10:96::/112,10.96.0.0/12"
	c.PodSubnet = "fd00:10:244::/56,10.244.0.0/16"
	c.KubeletConfig = map[string]any{
		"maxPods": 42, "futureField": map[string]any{"a": true}, "failCgroupV1": false,
		"authentication": map[string]any{"webhook": map[string]any{"cacheTTL": "3m0s"}}, "rotateCertificates": false,
	}
	c.KubeProxyConfig = map[string]any{"mode": "nftables", "conntrack": map[string]any{"maxPerCore": 0}}
	c.ExternalCA = true
	return c
}

func optionsNode() *Node {
	n := controlPlane()
	n.Hostname = "other"
	n.AdvertiseAddress = []byte{0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x11}
	n.BindPort = 16443
	n.Proxy = []corev1.EnvVar{{Name: "NO_PROXY", Value: "10.0.0.0/8"}, {Name: "https_proxy", Value: "http://proxy:3128"}}
	n.KubeletExtraArgs = []Arg{{"cert-dir", "/srv/kubelet-pki"}, {"v", "2"}}
	return n
}
