package cluster

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
)

// world is a real etcd, API server and controller manager on loopback.
type world struct {
	t        *testing.T
	dir      string
	ca       *authority
	endpoint string
	dialer   *Dialer
}

// binary finds a program in a directory named by the environment, or on PATH.
func binary(t *testing.T, env, name string) string {
	t.Helper()
	if dir := os.Getenv(env); dir != "" {
		name = filepath.Join(dir, name)
	}
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%v: set %s to the directory that has it", err, env)
	}
	return path
}

func (w *world) file(name string, data []byte) string {
	w.t.Helper()
	path := filepath.Join(w.dir, name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		w.t.Fatal(err)
	}
	return path
}

// start runs a program until the end of the test.
func (w *world) start(program string, args ...string) {
	w.t.Helper()
	var log bytes.Buffer
	cmd := exec.Command(program, args...) // ended below, after everything that uses it
	cmd.Stdout, cmd.Stderr, cmd.Dir = &log, &log, w.dir
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if w.t.Failed() {
			tail := log.String()
			w.t.Logf("%s said last: …%s", filepath.Base(program), tail[max(0, len(tail)-3000):])
		}
	})
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func (w *world) keyPEM() []byte {
	der, err := x509.MarshalECPrivateKey(w.ca.key)
	if err != nil {
		w.t.Fatal(err)
	}
	return encode("EC PRIVATE KEY", der)
}

// kubeconfig makes a client certificate and a kubeconfig with it.
func (w *world) kubeconfig(user string, groups ...string) []byte {
	w.t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: user, Organization: groups},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, w.ca.cert, w.ca.key.Public(), w.ca.key)
	if err != nil {
		w.t.Fatal(err)
	}
	b64 := base64.StdEncoding.EncodeToString
	return fmt.Appendf(nil, "apiVersion: v1\nkind: Config\ncurrent-context: x\ncontexts: [{name: x, context: {cluster: c, user: u}}]\n"+
		"clusters: [{name: c, cluster: {server: 'https://%s', certificate-authority-data: %s}}]\nusers: [{name: u, user: {client-certificate-data: %s, client-key-data: %s}}]\n",
		w.endpoint, b64(w.ca.pem), b64(encode("CERTIFICATE", der)), b64(w.keyPEM()))
}

func (w *world) client(user string, groups ...string) *Client {
	w.t.Helper()
	c, err := FromKubeconfig(w.kubeconfig(user, groups...), w.dialer)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

func newWorld(t *testing.T) *world {
	t.Helper()
	if os.Getenv("KUBEBUNDLE_INTEGRATION") != "1" {
		t.Skip("needs etcd and kube-apiserver: set KUBEBUNDLE_INTEGRATION=1, and KUBEBUNDLE_KUBE_BIN and KUBEBUNDLE_ETCD to their directories")
	}
	w := &world{t: t, dir: t.TempDir(), dialer: NewDialer(), ca: newAuthority(t, []net.IP{net.IPv4(127, 0, 0, 1)}, time.Now().Add(time.Hour))}
	etcd := "http://127.0.0.1:" + freePort(t)
	peer := "http://127.0.0.1:" + freePort(t)
	port := freePort(t)
	w.endpoint = "127.0.0.1:" + port
	w.start(binary(t, "KUBEBUNDLE_ETCD", "etcd"), "--data-dir", filepath.Join(w.dir, "etcd"), "--listen-client-urls", etcd, "--advertise-client-urls", etcd,
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "default="+peer)
	key := w.file("key.pem", w.keyPEM())
	w.start(binary(t, "KUBEBUNDLE_KUBE_BIN", "kube-apiserver"), "--etcd-servers", etcd, "--bind-address", "127.0.0.1", "--secure-port", port, "--endpoint-reconciler-type", "none",
		"--service-cluster-ip-range", "10.96.0.0/12", "--tls-cert-file", w.file("server.crt", encode("CERTIFICATE", w.ca.leaf.Certificate[0])), "--tls-private-key-file", key,
		"--client-ca-file", w.file("ca.crt", w.ca.pem), "--service-account-key-file", key, "--service-account-signing-key-file", key, "--service-account-issuer", "https://kubernetes",
		"--authorization-mode", "Node,RBAC", "--enable-bootstrap-token-auth", "--cert-dir", w.dir)
	return w
}

func adminsBinding() *rbacv1.ClusterRoleBinding {
	return &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "kubeadm:cluster-admins"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.GroupKind, APIGroup: rbacv1.GroupName, Name: "kubeadm:cluster-admins"}},
	}
}

// addon are objects as the installer's own: much of them is defaulted by the server.
func addon() []runtime.Object {
	labels := map[string]string{"k8s-app": "kube-dns"}
	meta := metav1.ObjectMeta{Namespace: "kube-system", Name: "coredns", Labels: labels}
	pod := corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: labels},
		Spec: corev1.PodSpec{
			ServiceAccountName: "coredns", PriorityClassName: "system-cluster-critical", DNSPolicy: corev1.DNSDefault, NodeSelector: map[string]string{"kubernetes.io/os": "linux"},
			Tolerations: []corev1.Toleration{{Key: "CriticalAddonsOnly", Operator: corev1.TolerationOpExists}},
			Containers: []corev1.Container{{
				Name: "coredns", Image: "registry.k8s.io/coredns/coredns:v1.12.1", Args: []string{"-conf", "/etc/coredns/Corefile"},
				Resources:     corev1.ResourceRequirements{Limits: corev1.ResourceList{"memory": resource.MustParse("170Mi")}, Requests: corev1.ResourceList{"cpu": resource.MustParse("0.1")}},
				Ports:         []corev1.ContainerPort{{Name: "dns", ContainerPort: 53, Protocol: corev1.ProtocolUDP}, {Name: "metrics", ContainerPort: 9153}},
				LivenessProbe: &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/health", Port: intstr.FromInt32(8080)}}, InitialDelaySeconds: 60},
				VolumeMounts:  []corev1.VolumeMount{{Name: "config", MountPath: "/etc/coredns", ReadOnly: true}},
				SecurityContext: &corev1.SecurityContext{
					AllowPrivilegeEscalation: ptr.To(false), Capabilities: &corev1.Capabilities{Add: []corev1.Capability{"NET_BIND_SERVICE"}, Drop: []corev1.Capability{"ALL"}},
				},
				Env: []corev1.EnvVar{{Name: "NODE", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "spec.nodeName"}}}, {Name: "EMPTY"}},
			}},
			Volumes: []corev1.Volume{
				{Name: "config", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "coredns"}}}},
				{Name: "tmp", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
				{Name: "lib", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/lib/modules"}}},
			},
		},
	}
	one := intstr.FromInt32(1)
	return []runtime.Object{
		&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "coredns"}},
		&rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "system:coredns"}, Rules: []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"endpoints", "services"}, Verbs: []string{"list", "watch"}}}},
		&rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: "system:coredns"}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "system:coredns"},
			Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Name: "coredns", Namespace: "kube-system"}},
		},
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "coredns"}, Data: map[string]string{"Corefile": ".:53 {\n}\n", "empty": ""}},
		&appsv1.Deployment{ObjectMeta: meta, Spec: appsv1.DeploymentSpec{
			Replicas: ptr.To(int32(2)), Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: pod,
			Strategy: appsv1.DeploymentStrategy{Type: appsv1.RollingUpdateDeploymentStrategyType, RollingUpdate: &appsv1.RollingUpdateDeployment{MaxUnavailable: &one}},
		}},
		&appsv1.DaemonSet{ObjectMeta: meta, Spec: appsv1.DaemonSetSpec{Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: pod}},
		&corev1.Service{ObjectMeta: meta, Spec: corev1.ServiceSpec{
			ClusterIP: "10.96.0.10", Selector: labels,
			Ports: []corev1.ServicePort{{Name: "dns", Port: 53, Protocol: corev1.ProtocolUDP, TargetPort: intstr.FromInt32(53)}, {Name: "metrics", Port: 9153}},
		}},
		&corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "any"}, Spec: corev1.ServiceSpec{Selector: labels, Ports: []corev1.ServicePort{{Port: 80}}}},
	}
}

// The pool has a namespace that its kind does not have, as rendered charts may.
const realManifest = `
apiVersion: example.org/v1
kind: Pool
metadata: {name: default, namespace: cni}
spec: {size: 3}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: cni, namespace: cni}
spec:
  selector: {matchLabels: {app: cni}}
  template:
    metadata: {labels: {app: cni}, annotations: {}}
    spec:
      containers:
      - name: cni
        image: cni:v1
        resources: {limits: {cpu: 0.5, memory: 1024Mi}}
        securityContext: {}
      volumes: [{name: run, emptyDir: {}}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: all, namespace: cni}
spec: {podSelector: {}, ingress: [{}]}
---
apiVersion: v1
kind: Secret
metadata: {name: s, namespace: cni}
stringData: {password: x}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: pools.example.org}
spec:
  group: example.org
  scope: Cluster
  names: {plural: pools, singular: pool, kind: Pool, listKind: PoolList}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {size: {type: integer}}}}}}
---
apiVersion: v1
kind: Namespace
metadata: {name: cni}
`

func TestAgainstARealAPIServer(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	super, admin := w.client("kubernetes-super-admin", "system:masters"), w.client("kubernetes-admin", "kubeadm:cluster-admins")

	// admin.conf has no rights yet: its request waits for the binding that super-admin.conf makes.
	waiting := make(chan error, 1)
	go func() {
		_, err := admin.Apply(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "early"}})
		waiting <- err
	}()
	if err := super.Healthy(ctx); err != nil {
		t.Fatal(err)
	}
	if ok, err := super.Applied(ctx, adminsBinding()); err != nil || ok {
		t.Errorf("binding before: %t, %v", ok, err)
	}
	if _, err := super.Apply(ctx, adminsBinding()); err != nil {
		t.Fatal(err)
	}
	if err := <-waiting; err != nil {
		t.Errorf("the request that had to wait: %v", err)
	}
	t.Run("apply", func(t *testing.T) { testRealApply(ctx, t, admin) })
	t.Run("node", func(t *testing.T) { testRealNode(ctx, t, admin) })
	t.Run("discovery", func(t *testing.T) { testRealDiscovery(ctx, t, w, admin) })
	for a := range w.dialer.Attempts() {
		if a.Blocked || !strings.HasPrefix(a.Address, "127.0.0.1:") {
			t.Errorf("asked for %v", a)
		}
	}
}

func testRealApply(ctx context.Context, t *testing.T, c *Client) {
	for round, want := range []bool{true, false} {
		for _, o := range addon() {
			if ok, err := c.Applied(ctx, o); err != nil || ok == want {
				t.Errorf("round %d: %T applied: %t, %v", round, o, ok, err)
			}
			if changed, err := c.Apply(ctx, o); err != nil || changed != want {
				t.Errorf("round %d: %T changed: %t, %v", round, o, changed, err)
			}
		}
	}
	for round, want := range []int{6, 0} {
		if ok, err := c.AppliedYAML(ctx, []byte(realManifest)); err != nil || ok != (round == 1) {
			t.Errorf("round %d: manifest applied: %t, %v", round, ok, err)
		}
		if n, err := c.ApplyYAML(ctx, []byte(realManifest)); err != nil || n != want {
			t.Errorf("round %d: %d objects of the manifest: %v", round, n, err)
		}
	}
	// Another strategy: the parameters that the server defaulted for the old one contradict it.
	d, ok := addon()[4].(*appsv1.Deployment)
	if !ok {
		t.Fatal("not a Deployment")
	}
	d.Spec.Strategy = appsv1.DeploymentStrategy{Type: appsv1.RecreateDeploymentStrategyType}
	d.Spec.Template.Spec.Volumes[2].VolumeSource = corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}
	if changed, err := c.Apply(ctx, d); err != nil || !changed {
		t.Errorf("another strategy: %t, %v", changed, err)
	}
	live, err := c.Kube.AppsV1().Deployments("kube-system").Get(ctx, "coredns", metav1.GetOptions{})
	if err != nil || live.Spec.Template.Spec.Volumes[2].EmptyDir == nil || live.Spec.Template.Spec.Volumes[2].HostPath != nil || live.Spec.Strategy.RollingUpdate != nil {
		t.Errorf("stored: %+v, %v", live.Spec, err)
	}
	// What cannot be changed says so at once.
	d.Spec.Selector.MatchLabels = map[string]string{"other": "x"}
	d.Spec.Template.Labels = d.Spec.Selector.MatchLabels
	if _, err := c.Apply(ctx, d); err == nil || !strings.Contains(err.Error(), "immutable") {
		t.Errorf("another selector: %v", err)
	}
	for _, o := range addon() {
		if err := c.Delete(ctx, o); err != nil {
			t.Error(err)
		}
		if ok, err := c.Applied(ctx, o); err != nil || ok {
			t.Errorf("%T deleted: %t, %v", o, ok, err)
		}
	}
}

func testRealNode(ctx context.Context, t *testing.T, c *Client) {
	p := NodePatch{Labels: map[string]string{"node-role.kubernetes.io/control-plane": ""}, Taints: []Taint{{Key: "node-role.kubernetes.io/control-plane", Effect: "NoSchedule"}}}
	go func() {
		_ = sleep(ctx, time.Second)
		n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "cp1", Labels: map[string]string{corev1.LabelHostname: "cp1"}}}
		if _, err := c.Kube.CoreV1().Nodes().Create(ctx, n, metav1.CreateOptions{}); err != nil {
			t.Error(err)
		}
	}()
	if err := c.PatchNode(ctx, "cp1", p); err != nil {
		t.Fatal(err)
	}
	if ok, err := c.NodePatched(ctx, "cp1", p); err != nil || !ok {
		t.Errorf("patched: %t, %v", ok, err)
	}
	n, err := c.Kube.CoreV1().Nodes().Get(ctx, "cp1", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
	if _, err := c.Kube.CoreV1().Nodes().UpdateStatus(ctx, n, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := c.WaitNodeReady(ctx, "cp1"); err != nil {
		t.Error(err)
	}
}

// bootstrapObjects are cluster-info and the rights of joining nodes, as init makes them.
func bootstrapObjects(w *world) []runtime.Object {
	group := []rbacv1.Subject{{Kind: rbacv1.GroupKind, APIGroup: rbacv1.GroupName, Name: "system:bootstrappers:kubeadm:default-node-token"}}
	role := func(ns, name string, names ...string) runtime.Object {
		return &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name}, Rules: []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"configmaps"}, ResourceNames: names, Verbs: []string{"get"}}}}
	}
	binding := func(ns, name string, subjects ...rbacv1.Subject) runtime.Object {
		return &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: name}, Subjects: subjects}
	}
	cm := func(ns, name string, data map[string]string) runtime.Object {
		return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name}, Data: data}
	}
	return []runtime.Object{
		cm("kube-public", "cluster-info", map[string]string{"kubeconfig": infoKubeconfig("https://"+w.endpoint, w.ca.pem)}),
		role("kube-public", "kubeadm:bootstrap-signer-clusterinfo", "cluster-info"),
		binding("kube-public", "kubeadm:bootstrap-signer-clusterinfo", rbacv1.Subject{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: "system:anonymous"}),
		cm("kube-system", "kubeadm-config", map[string]string{"ClusterConfiguration": "x"}), cm("kube-system", "kubelet-config", map[string]string{"kubelet": "y"}),
		role("kube-system", "kubeadm:nodes-kubeadm-config", "kubeadm-config", "kubelet-config"), binding("kube-system", "kubeadm:nodes-kubeadm-config", group...),
		&rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "kubeadm:get-nodes"}, Rules: []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"nodes"}, Verbs: []string{"get"}}}},
		&rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "kubeadm:get-nodes"}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "kubeadm:get-nodes"}, Subjects: group},
	}
}

func testRealDiscovery(ctx context.Context, t *testing.T, w *world, admin *Client) {
	token, err := NewToken()
	if err != nil {
		t.Fatal(err)
	}
	token.Usages, token.Groups = []string{"signing", "authentication"}, []string{"system:bootstrappers:kubeadm:default-node-token"}
	token.Expires = time.Now().Add(time.Hour).Truncate(time.Second).UTC()
	if err := admin.PutToken(ctx, token); err != nil {
		t.Fatal(err)
	}
	if list, err := admin.Tokens(ctx); err != nil || len(list) != 1 || !list[0].Equal(token) || !list[0].Expires.Equal(token.Expires) {
		t.Errorf("tokens: %+v, %v", list, err)
	}
	for _, o := range bootstrapObjects(w) {
		if _, err := admin.Apply(ctx, o); err != nil {
			t.Fatal(err)
		}
	}
	// We sign as the signer does: nodes can join before it has started, and it changes nothing.
	if err := admin.SignClusterInfo(ctx, &token); err != nil {
		t.Fatal(err)
	}
	f := &finder{dialer: w.dialer, endpoint: w.endpoint, patience: time.Second, interval: 100 * time.Millisecond}
	if _, err := f.byToken(ctx, token, []string{pinOf(w.ca.cert)}); err != nil {
		t.Errorf("signed by us: %v", err)
	}
	own := unsign(ctx, t, admin, token.ID)
	// The signer starts only now: discovery has to wait for its signature.
	w.start(binary(t, "KUBEBUNDLE_KUBE_BIN", "kube-controller-manager"), "--kubeconfig", w.file("kcm.conf", w.kubeconfig("kcm", "system:masters")), "--leader-elect=false", "--secure-port", "0",
		"--controllers", "bootstrap-signer-controller,token-cleaner-controller")
	options := DiscoveryOptions{Endpoint: w.endpoint, Token: token, Pins: []string{pinOf(w.ca.cert)}, TLSBootstrapToken: token.String(), KubeletConfigMap: func(*corev1.ConfigMap) (string, error) { return "kubelet-config", nil }}
	d := NewDiscovery(w.dialer, options)
	info, err := d.ClusterInfo(ctx)
	if err != nil {
		t.Fatal(err)
	}
	kubeadm, kubelet, err := d.ConfigMaps(ctx, info)
	if err != nil || kubeadm.Data["ClusterConfiguration"] != "x" || kubelet.Data["kubelet"] != "y" {
		t.Errorf("ConfigMaps: %v, %v, %v", kubeadm, kubelet, err)
	}
	if taken, err := d.NodeTaken(ctx, info, "cp1"); err != nil || !taken {
		t.Errorf("a Ready node of that name: %t, %v", taken, err)
	}
	if taken, err := d.NodeTaken(ctx, info, "other"); err != nil || taken {
		t.Errorf("no node of that name: %t, %v", taken, err)
	}
	if theirs := unsign(ctx, t, admin, token.ID); theirs != own {
		t.Errorf("the signer's signature is %s, ours %s", theirs, own)
	}
	if err := admin.SignClusterInfo(ctx, &token); err != nil {
		t.Fatal(err)
	}
	// cluster-info has signatures of the signer now; they are no difference and stay.
	if ok, err := admin.Applied(ctx, bootstrapObjects(w)[0]); err != nil || !ok {
		t.Errorf("signed cluster-info: %t, %v", ok, err)
	}
	if info, err = DiscoverFromFile(ctx, w.dialer, []byte(infoKubeconfig("https://"+w.endpoint, w.ca.pem)), nil); err != nil || info.Endpoint != "https://"+w.endpoint {
		t.Errorf("by file: %+v, %v", info, err)
	}
	wrong := token
	wrong.Secret = strings.Repeat("0", 16)
	expectKind(ctx, t, w, wrong, options.Pins, DiscoveryBadSignature)
	expectKind(ctx, t, w, token, []string{"sha256:" + strings.Repeat("0", 64)}, DiscoveryWrongCA)
	if err := admin.DeleteToken(ctx, token.String()); err != nil {
		t.Fatal(err)
	}
	for { // the signer takes its signature away
		cm, err := admin.Kube.CoreV1().ConfigMaps("kube-public").Get(ctx, "cluster-info", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if len(cm.Data) == 1 {
			break
		}
		if err := sleep(ctx, 100*time.Millisecond); err != nil {
			t.Fatal(err)
		}
	}
	expectKind(ctx, t, w, token, options.Pins, DiscoveryUnknownToken)
}

// unsign takes a token's signature from cluster-info.
func unsign(ctx context.Context, t *testing.T, admin *Client, id string) string {
	t.Helper()
	maps := admin.Kube.CoreV1().ConfigMaps("kube-public")
	cm, err := maps.Get(ctx, "cluster-info", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	signature := cm.Data["jws-kubeconfig-"+id]
	delete(cm.Data, "jws-kubeconfig-"+id)
	if _, err := maps.Update(ctx, cm, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	return signature
}

func expectKind(ctx context.Context, t *testing.T, w *world, token Token, pins []string, kind DiscoveryKind) {
	t.Helper()
	f := &finder{dialer: w.dialer, endpoint: w.endpoint, patience: time.Second, interval: 100 * time.Millisecond}
	_, err := f.byToken(ctx, token, pins)
	var failed *DiscoveryError
	if !errors.As(err, &failed) || failed.Kind != kind {
		t.Errorf("kind %d expected: %v", kind, err)
	}
}
