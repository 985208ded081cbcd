package manifests

import (
	"net"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// TestKubeletFlags: kubeadm-flags.env by version (facts sections 3.2 and 3.3).
func TestKubeletFlags(t *testing.T) {
	for _, tc := range []struct {
		flag        string
		first, last uint
	}{
		{"--node-ip=10.77.0.11", 11, 0},
		{"--container-runtime=remote", 11, 26},
		{"--container-runtime-endpoint=/run/containerd/containerd.sock", 11, 23},
		{"--container-runtime-endpoint=unix:///run/containerd/containerd.sock", 24, 33},
		{"--pod-infra-container-image=registry.k8s.io/pause:3.10.2", 12, 34},
		{"--pod-infra-container-image=registry.k8s.io/pause-amd64:3.10.2", 11, 11},
		{"--resolv-conf=/run/systemd/resolve/resolv.conf", 11, 18},
		{"--cgroup-driver=systemd", 11, 21},
		{"--hostname-override", 1, 1},
		{"--network-plugin", 1, 1},
		{"--cadvisor-port", 1, 1},
		{"--allow-privileged", 1, 1},
	} {
		want := span{tc.first, tc.last}
		for _, v := range everyMinor()[1:] {
			c := at(t, v)
			line := file(t, c, controlPlane(), "kubeadm-flags.env")
			if got := strings.Contains(line+" ", tc.flag+" ") || strings.Contains(line, tc.flag+`"`); got != want.has(minorOf(c.Version)) {
				t.Errorf("v%s: %s in %s: %v, want %v", v, tc.flag, line, got, !got)
			}
		}
	}
}

// file gives the text of one of the kubelet's files, "" where it is not rendered.
func file(t *testing.T, c *Cluster, n *Node, base string) string {
	t.Helper()
	files, err := KubeletFiles(c, n)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if strings.HasSuffix(f.Path, "/"+base) {
			return string(f.Data)
		}
	}
	return ""
}

// TestKubeletFilesOfNodes: what differs between nodes and hosts.
func TestKubeletFilesOfNodes(t *testing.T) {
	c := at(t, "1.36.3")
	worker := &Node{Name: "w1", Hostname: "localhost", AdvertiseAddress: net.ParseIP("fd00::1"), CRISocket: "/run/x.sock"}
	worker.Taints = []corev1.Taint{{Key: "gpu", Value: "yes", Effect: corev1.TaintEffectNoSchedule}, {Key: "b", Effect: corev1.TaintEffectNoExecute}}
	worker.KubeletExtraArgs = []Arg{{"v", "4"}, {"node-ip", "fd00::2"}}
	want := "KUBELET_KUBEADM_ARGS=\"--hostname-override=w1 --register-with-taints=gpu=yes:NoSchedule,b:NoExecute --v=4 --node-ip=fd00::2\"\n"
	if diff := cmp.Diff(want, file(t, c, worker, "kubeadm-flags.env")); diff != "" {
		t.Error(diff)
	}
	if got := file(t, c, worker, "instance-config.yaml"); got != "containerRuntimeEndpoint: unix:///run/x.sock\n" {
		t.Errorf("instance-config.yaml: %q", got)
	}
	if got := file(t, at(t, "1.33.1"), worker, "instance-config.yaml"); got != "" {
		t.Errorf("v1.33 has instance-config.yaml: %q", got)
	}
	worker.AdvertiseAddress, worker.KubeletExtraArgs = nil, nil
	if _, err := KubeletFiles(c, worker); err == nil || !strings.Contains(err.Error(), "no address") {
		t.Errorf("a node without address: %v", err)
	}
	worker.KubeletExtraArgs = []Arg{{"node-ip", "fd00::2"}, {"node-labels", "a=b c=d"}}
	if _, err := KubeletFiles(c, worker); err == nil || !strings.Contains(err.Error(), "white space") {
		t.Errorf("an argument with a space: %v", err)
	}
	docker := &Node{Name: "w", Hostname: "w", AdvertiseAddress: net.IPv4(1, 2, 3, 4), CRISocket: "/var/run/dockershim.sock"}
	line := file(t, at(t, "1.18.20"), docker, "kubeadm-flags.env")
	if !strings.Contains(line, "--network-plugin=cni") || strings.Contains(line, "container-runtime") {
		t.Errorf("docker: %s", line)
	}
}

// TestUserKubeletConfig: the user's document is laid over ours; unknown fields stay; rotation cannot be turned off; a document that a
// user touched is not signed; failCgroupV1 appears only if the user says so.
func TestUserKubeletConfig(t *testing.T) {
	c := at(t, "1.36.3")
	n := controlPlane()
	n.CgroupVersion = 1
	if text := file(t, c, n, "config.yaml"); strings.Contains(text, "failCgroupV1") {
		t.Errorf("failCgroupV1 without the user:\n%s", text)
	}
	c.KubeletConfig = map[string]any{
		"clusterDNS": []any{"1.1.1.1"}, "future": 1, "rotateCertificates": false, "failCgroupV1": false,
		"authentication": map[string]any{"webhook": map[string]any{"enabled": false}},
	}
	var got map[string]any
	if err := yaml.Unmarshal([]byte(file(t, c, n, "config.yaml")), &got); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]any{
		"clusterDNS": []any{"1.1.1.1"}, "future": 1.0, "rotateCertificates": true, "failCgroupV1": false, "cgroupDriver": "systemd",
		"authentication": map[string]any{
			"anonymous": map[string]any{"enabled": false}, "webhook": map[string]any{"enabled": false},
			"x509": map[string]any{"clientCAFile": "/etc/kubernetes/pki/ca.crt"},
		},
	} {
		if diff := cmp.Diff(want, got[key]); diff != "" {
			t.Errorf("%s: %s", key, diff)
		}
	}
	cm, err := KubeletConfigMap(c)
	if err != nil {
		t.Fatal(err)
	}
	if len(cm.Annotations) != 0 {
		t.Errorf("signed: %v", cm.Annotations)
	}
	for _, own := range []string{"resolvConf", "containerRuntimeEndpoint"} {
		if strings.Contains(cm.Data["kubelet"], own) {
			t.Errorf("the cluster's ConfigMap holds the node's %s", own)
		}
	}
}

// TestJoiningKubelet: a node takes the cluster's ConfigMap as it is and adds its own.
func TestJoiningKubelet(t *testing.T) {
	c := at(t, "1.35.4")
	cm, err := KubeletConfigMap(c)
	if err != nil {
		t.Fatal(err)
	}
	cm.Data["kubelet"] += "maxPods: 7\n"
	files, err := KubeletFilesFromConfigMap(c, controlPlane(), cm)
	if err != nil {
		t.Fatal(err)
	}
	text := string(files[len(files)-1].Data)
	for _, want := range []string{"maxPods: 7", "resolvConf: /run/systemd", "containerRuntimeEndpoint: unix:///run/containerd"} {
		if !strings.Contains(text, want) {
			t.Errorf("config.yaml lacks %q:\n%s", want, text)
		}
	}
	for name, bad := range map[string]*corev1.ConfigMap{"none": nil, "no key": {}, "no yaml": {Data: map[string]string{"kubelet": "{"}}} {
		if _, err := KubeletFilesFromConfigMap(c, controlPlane(), bad); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if files, err = KubeletFilesFromConfigMap(at(t, "1.10.6"), controlPlane(), nil); err != nil || len(files) != 1 {
		t.Errorf("v1.10: %v %v", files, err)
	}
}

// TestKubeletV110: flags only, in a second drop-in that follows this site's values.
func TestKubeletV110(t *testing.T) {
	c := at(t, "1.10.6")
	c.ServiceSubnet, c.DNSDomain, c.CertificatesDir = "10.200.0.0/16", "site.local", "/srv/pki"
	c.KubeletConfig = map[string]any{"maxPods": 42}
	text := file(t, c, controlPlane(), "20-kubebundle.conf")
	for _, want := range []string{
		`Environment="KUBELET_DNS_ARGS=--cluster-dns=10.200.0.10 --cluster-domain=site.local"`,
		`Environment="KUBELET_AUTHZ_ARGS=--authorization-mode=Webhook --client-ca-file=/srv/pki/ca.crt"`,
		`Environment="KUBELET_CGROUP_ARGS=--cgroup-driver=systemd"`,
		"--config=/var/lib/kubelet/config.yaml", "--node-ip=10.77.0.11", "--container-runtime=remote",
		"--pod-infra-container-image=", "--runtime-request-timeout=15m",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("lacks %s:\n%s", want, text)
		}
	}
	if got := file(t, c, controlPlane(), "config.yaml"); !strings.Contains(got, "maxPods: 42") || strings.Contains(got, "clusterDNS") {
		t.Errorf("config.yaml: %s", got)
	}
	if got := environment("A", `50% "x"\`); got != `Environment="A=50%% \"x\"\\"` {
		t.Errorf("escaped as %s", got)
	}
}
