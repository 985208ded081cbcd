package installer_test

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kubebundle/installer"
	"kubebundle/installer/cluster"
	"kubebundle/installer/cluster/clustertest"
	"kubebundle/installer/etcd"
	"kubebundle/installer/etcd/etcdtest"
	"kubebundle/installer/host"
	"kubebundle/installer/phase"
	"kubebundle/installer/pki"
	"kubebundle/installer/step"
)

const (
	podDir  = "/etc/kubernetes/manifests"
	etcdPod = `spec:
  containers:
  - command: [etcd, --name=n1, --initial-advertise-peer-urls=https://10.0.0.10:2380, --data-dir=/var/lib/etcd,
      "--listen-client-urls=https://127.0.0.1:2379,https://10.0.0.10:2379", "--listen-peer-urls=https://10.0.0.10:2380", --trusted-ca-file=/etc/kubernetes/pki/etcd/ca.crt]
  volumes: [{name: etcd-data, hostPath: {path: /var/lib/etcd}}]
`
	apiPod = `spec:
  containers:
  - command: [kube-apiserver]
    livenessProbe: {httpGet: {port: 6443}}
`
)

// obedient is a host whose kubelet runs what the manifests say at once: ports are taken as long as a manifest lies there.
type obedient struct{ host.Host }

func (o obedient) PortFree(port int) (bool, error) {
	pods := map[int]string{2379: "etcd", 2380: "etcd", 6443: "kube-apiserver"}
	_, err := o.Stat(podDir + "/" + pods[port] + ".yaml")
	return err != nil, nil
}

type restoreWorld struct {
	memory *host.Memory
	api    *clustertest.Server
	client *cluster.Client
	file   string
	runs   int
}

func newRestoreWorld(t *testing.T, snap etcdtest.Snapshot) *restoreWorld {
	t.Helper()
	w := &restoreWorld{memory: host.NewMemory(), api: clustertest.New(t), file: filepath.Join(t.TempDir(), "s.db")}
	w.client = w.api.Client(t)
	snap.CA = w.api.CAPEM()
	snap.Write(t, w.file)
	w.memory.Free = 10 << 30
	w.memory.AddUnit("kubelet.service", host.UnitState{Enabled: true, Active: true, Sub: "running"})
	for p, text := range map[string]string{
		podDir + "/etcd.yaml": etcdPod, podDir + "/kube-apiserver.yaml": apiPod, podDir + "/keepalived.yaml": "theirs",
		"/etc/kubernetes/pki/ca.crt": string(w.api.CAPEM()), "/var/lib/etcd/member/snap/db": "present", "/etc/kubernetes/kubelet.conf": nodeConf(t),
	} {
		if err := w.memory.WriteFile(p, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

func (w *restoreWorld) phases(change func(*phase.RestoreEtcd)) []phase.Phase {
	r := phase.RestoreEtcd{File: w.file, CertDir: "/etc/kubernetes/pki", BumpRevision: 1000}
	if change != nil {
		change(&r)
	}
	return installer.RestoreEtcd(r)
}

// run restores; what etcd's library would do on this machine is done in memory.
func (w *restoreWorld) run(t *testing.T, h host.Host, phases []phase.Phase, made *[]etcd.Restore) (installer.Summary, error) {
	t.Helper()
	e := engine(t, obedient{h}, nil)
	e.Workflow = "etcd snapshot restore"
	e.Target.CRI = openNoPods
	e.Target.Cluster = func(context.Context) (*cluster.Client, error) { return w.client, nil }
	e.Target.RestoreEtcd = func(r etcd.Restore) error {
		*made = append(*made, r)
		for _, manifest := range []string{"etcd", "kube-apiserver"} {
			if _, err := h.Stat(podDir + "/" + manifest + ".yaml"); err == nil {
				t.Errorf("%s runs while its data is made", manifest)
			}
		}
		return h.WriteFile(r.DataDir+"/member/snap/db", []byte("restored"), 0o600)
	}
	w.runs++
	return e.Run(t.Context(), phases, &phase.State{Now: time.Date(2026, 3, 4, 5, 6, w.runs, 0, time.UTC)})
}

func (w *restoreWorld) restored(t *testing.T) {
	t.Helper()
	for p, want := range map[string]string{
		podDir + "/etcd.yaml": etcdPod, podDir + "/kube-apiserver.yaml": apiPod, podDir + "/keepalived.yaml": "theirs",
		"/var/lib/etcd/member/snap/db": "restored",
	} {
		if got, err := w.memory.ReadFile(p); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", p, got, err)
		}
	}
	var kept []string
	for p, text := range w.memory.Snapshot() {
		if strings.HasPrefix(p, "/var/lib/etcd/member.before-restore-20260304T") && strings.HasSuffix(text, "present") {
			kept = append(kept, p)
		}
	}
	if len(kept) != 1 {
		t.Errorf("the former data is in %q", kept)
	}
	for _, p := range []string{"/var/lib/kubebundle/restore", "/var/lib/kubebundle/restore.json", "/var/lib/etcd/kubebundle-restore"} {
		if _, err := w.memory.Stat(p); err == nil {
			t.Errorf("%s is left behind", p)
		}
	}
}

func TestRestoreEtcd(t *testing.T) {
	w := newRestoreWorld(t, etcdtest.Snapshot{Members: []etcdtest.Member{{ID: 1, Name: "n1", PeerURLs: []string{"https://10.0.0.10:2380"}}}})
	var made []etcd.Restore
	if _, err := w.run(t, w.memory, w.phases(nil), &made); err != nil {
		t.Fatal(err)
	}
	w.restored(t)
	if len(made) != 1 || made[0].InitialCluster != "n1=https://10.0.0.10:2380" || !strings.HasPrefix(made[0].Token, "restored-") || made[0].BumpRevision != 1000 {
		t.Errorf("restored %+v", made)
	}
	// Taking a node back afterwards does not bring any of it back.
	j, err := installer.OpenJournal(w.memory)
	if err != nil {
		t.Fatal(err)
	}
	for _, rec := range j.Records() {
		if strings.HasPrefix(rec.Path, podDir+"/") {
			t.Errorf("reset would %s", rec)
		}
	}
	if name, _, _ := j.Workflow(); name != "" {
		t.Errorf("the node is called one of %q", name)
	}
}

// ended is a runtime that notes which pods it was to end, and what the kubelet did then.
type ended struct {
	noPods
	memory *host.Memory
	pods   *[]string
}

func (e ended) EndPod(ctx context.Context, namespace, name string, _ time.Duration) error {
	u, err := e.memory.UnitState(ctx, "kubelet.service")
	*e.pods = append(*e.pods, fmt.Sprintf("%s/%s, kubelet active %v", namespace, name, u.Active))
	return err
}

// With a runtime at hand the pods need not wait for the kubelet: they are ended while it does not run, etcd last.
func TestRestoreEtcdEndsThePods(t *testing.T) {
	w := newRestoreWorld(t, etcdtest.Snapshot{})
	var pods []string
	e := engine(t, obedient{w.memory}, nil)
	e.Target.Cluster = func(context.Context) (*cluster.Client, error) { return w.client, nil }
	e.Target.CRI = func(context.Context, string) (step.CRI, error) { return ended{memory: w.memory, pods: &pods}, nil }
	e.Target.RestoreEtcd = func(r etcd.Restore) error {
		return w.memory.WriteFile(r.DataDir+"/member/snap/db", []byte("restored"), 0o600)
	}
	phases := w.phases(func(r *phase.RestoreEtcd) { r.CRISocket = "unix:///run/containerd/containerd.sock" })
	if _, err := e.Run(t.Context(), phases, &phase.State{Now: time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)}); err != nil {
		t.Fatal(err)
	}
	w.restored(t)
	want := []string{"kube-system/kube-apiserver-n1, kubelet active false", "kube-system/etcd-n1, kubelet active false"}
	if diff := cmp.Diff(want, pods); diff != "" {
		t.Errorf("ended (-want +got):\n%s", diff)
	}
	if u, err := w.memory.UnitState(t.Context(), "kubelet.service"); err != nil || !u.Active {
		t.Errorf("the kubelet: %+v, %v", u, err)
	}
}

// nodeConf is a kubelet's kubeconfig, which names the node.
func nodeConf(t *testing.T) string {
	t.Helper()
	ca, err := pki.NewCA(pki.Spec{CommonName: "kubernetes", NotBefore: time.Now(), Algorithm: "ECDSA-P256"})
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := pki.NewLeaf(ca, pki.Spec{CommonName: "system:node:n1", NotBefore: time.Now(), Algorithm: "ECDSA-P256", Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	if err != nil {
		t.Fatal(err)
	}
	b64 := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{name: c, context: {cluster: k, user: u}}]\n"+
		"clusters: [{name: k, cluster: {server: 'https://10.0.0.10:6443', certificate-authority-data: %s}}]\n"+
		"users: [{name: u, user: {client-certificate-data: %s, client-key-data: %s}}]\n", b64(ca.CertPEM), b64(leaf.CertPEM), b64(leaf.KeyPEM))
}

// Killed before every single change, then run again: the end is the same.
func TestRestoreEtcdAfterACrash(t *testing.T) {
	for _, socket := range []string{"", "unix:///run/containerd/containerd.sock"} {
		restoreAfterCrashes(t, func(r *phase.RestoreEtcd) { r.CRISocket = socket })
	}
}

func restoreAfterCrashes(t *testing.T, change func(*phase.RestoreEtcd)) {
	t.Helper()
	killed := errors.New("killed")
	for at := 0; ; at++ {
		w := newRestoreWorld(t, etcdtest.Snapshot{})
		var made []etcd.Restore
		n, last := 0, ""
		dying := host.NewRecording(w.memory)
		dying.Before = func(op string) error {
			if n++; n > at {
				last = op
				return killed
			}
			return nil
		}
		_, err := w.run(t, dying, w.phases(change), &made)
		if err == nil {
			if at < 15 {
				t.Errorf("only %d changes", at)
			}
			return
		}
		if !errors.Is(err, killed) {
			t.Fatal(err)
		}
		live := slices.ContainsFunc([]string{"kube-apiserver"}, func(p string) bool {
			_, err := w.memory.Stat(podDir + "/" + p + ".yaml")
			return err == nil && len(made) > 0
		})
		before := len(made)
		_, pending := w.memory.Stat("/var/lib/kubebundle/restore.json")
		if _, err := w.run(t, w.memory, w.phases(change), &made); err != nil {
			t.Fatalf("killed before %d (%s), then: %v", at, last, err)
		}
		if pending != nil && before > 0 { // it was all done but for its last line in the journal
			continue
		}
		w.restored(t)
		if live && len(made) > before {
			t.Errorf("killed before %d (%s): data that was served already was replaced again", at, last)
		}
	}
}

func TestRestoreEtcdRefuses(t *testing.T) {
	three := etcdtest.Snapshot{Members: []etcdtest.Member{
		{ID: 1, Name: "n1", PeerURLs: []string{"https://10.0.0.10:2380"}}, {ID: 2, Name: "n2", PeerURLs: []string{"https://10.0.0.11:2380"}},
	}}
	for name, c := range map[string]struct {
		snap   etcdtest.Snapshot
		host   func(m *host.Memory) error
		change func(*phase.RestoreEtcd)
		want   string
	}{
		"another cluster": {
			host: func(m *host.Memory) error {
				ca, err := pki.NewCA(pki.Spec{CommonName: "kubernetes", NotBefore: time.Now(), Algorithm: "ECDSA-P256"})
				return errors.Join(err, m.WriteFile("/etc/kubernetes/pki/ca.crt", ca.CertPEM, 0o644))
			}, want: "it is of another cluster",
		},
		"encrypted": {snap: etcdtest.Snapshot{Encrypted: true}, want: "it does not say of which cluster it is"},
		"several":   {snap: three, want: "say which ones it is restored to"},
		"not in it": {change: func(r *phase.RestoreEtcd) { r.InitialCluster = "n2=https://10.0.0.11:2380" }, want: "this member, n1, is not in it"},
		"a worker": {
			host: func(m *host.Memory) error {
				return errors.Join(m.Remove(podDir+"/etcd.yaml"), m.Remove(podDir+"/kube-apiserver.yaml"))
			},
			want: "no control plane node",
		},
		"an external etcd": {
			host: func(m *host.Memory) error {
				return errors.Join(m.Remove(podDir+"/etcd.yaml"), m.WriteFile(podDir+"/kube-apiserver.yaml", []byte(
					"spec: {containers: [{command: [kube-apiserver, '--etcd-servers=https://e:2379', --etcd-cafile=/a, --etcd-certfile=/b, --etcd-keyfile=/c]}]}"), 0o600))
			}, want: "is no static pod of this node",
		},
		"a full disk": {host: func(m *host.Memory) error { m.Free = 1 << 20; return nil }, want: "are needed"},
		"no file":     {change: func(r *phase.RestoreEtcd) { r.File = "/none" }, want: "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newRestoreWorld(t, c.snap)
			if c.host != nil {
				if err := c.host(w.memory); err != nil {
					t.Fatal(err)
				}
			}
			rec := host.NewRecording(w.memory)
			var made []etcd.Restore
			_, err := w.run(t, rec, w.phases(c.change), &made)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
			if ops := rec.Ops(); len(ops) > 0 {
				t.Errorf("the host was changed: %q", ops)
			}
		})
	}
	// The first two can be overruled.
	w := newRestoreWorld(t, etcdtest.Snapshot{Encrypted: true})
	var made []etcd.Restore
	if _, err := w.run(t, w.memory, w.phases(func(r *phase.RestoreEtcd) { r.AnyCluster = true }), &made); err != nil {
		t.Error(err)
	}
	w.restored(t)
}

func TestRestoreEtcdOfSeveral(t *testing.T) {
	w := newRestoreWorld(t, etcdtest.Snapshot{})
	w.client = nil // the API cannot serve before the others are there
	var made []etcd.Restore
	all := "n1=https://10.0.0.10:2380,n2=https://10.0.0.11:2380"
	if _, err := w.run(t, w.memory, w.phases(func(r *phase.RestoreEtcd) { r.InitialCluster = all }), &made); err != nil {
		t.Fatal(err)
	}
	w.restored(t)
	if len(made) != 1 || made[0].InitialCluster != all || made[0].Name != "n1" {
		t.Errorf("restored %+v", made)
	}
}

// An etcd that has joined the restored cluster by itself is left in it: the others count on what it has acknowledged.
func TestRestoreEtcdThatHasJoined(t *testing.T) {
	w := newRestoreWorld(t, etcdtest.Snapshot{})
	w.client = nil
	r := phase.RestoreEtcd{File: w.file, CertDir: "/etc/kubernetes/pki", InitialCluster: "n1=https://10.0.0.10:2380,n2=https://10.0.0.11:2380", Token: "monday"}
	id, err := etcd.Restore{InitialCluster: r.InitialCluster, Token: r.Token}.ClusterID()
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	for have, want := range map[uint64]string{id: "present", id + 1: "restored", 0: "restored"} {
		e := engine(t, obedient{w.memory}, nil)
		e.Target.RestoreEtcd = func(r etcd.Restore) error {
			return w.memory.WriteFile(r.DataDir+"/member/snap/db", []byte("restored"), 0o600)
		}
		if err := w.memory.WriteFile("/var/lib/etcd/member/snap/db", []byte("present"), 0o600); err != nil {
			t.Fatal(err)
		}
		now = now.Add(time.Minute)
		s := &phase.State{Now: now, EtcdClusterID: func(dir string) (uint64, error) {
			if dir != "/var/lib/etcd" {
				t.Errorf("looked at %s", dir)
			}
			return have, nil
		}}
		if _, err := e.Run(t.Context(), installer.RestoreEtcd(r), s); err != nil {
			t.Fatal(err)
		}
		if got, err := w.memory.ReadFile("/var/lib/etcd/member/snap/db"); err != nil || string(got) != want {
			t.Errorf("with data of cluster %x: %q, %v, want %q", have, got, err, want)
		}
		for _, p := range []string{podDir + "/etcd.yaml", podDir + "/kube-apiserver.yaml"} {
			if _, err := w.memory.Stat(p); err != nil {
				t.Error(err)
			}
		}
	}
}

// An etcd that is none of the static pods keeps its port: nothing is touched behind its back.
func TestRestoreEtcdUnderAStranger(t *testing.T) {
	w := newRestoreWorld(t, etcdtest.Snapshot{})
	w.memory.BusyPorts = map[int]bool{2379: true}
	e := engine(t, w.memory, nil)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	var made int
	e.Target.RestoreEtcd = func(etcd.Restore) error { made++; return nil }
	if _, err := e.Run(ctx, w.phases(nil), &phase.State{Now: time.Now()}); err == nil || made > 0 {
		t.Errorf("restored %d times, %v", made, err)
	}
	if got, err := w.memory.ReadFile("/var/lib/etcd/member/snap/db"); err != nil || string(got) != "present" {
		t.Errorf("data: %q, %v", got, err)
	}
}
