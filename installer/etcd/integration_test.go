package etcd

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"kubebundle/installer/pki"
)

// real is an etcd with TLS on loopback, as a cluster's is.
type real struct {
	t       *testing.T
	dir     string
	client  string
	peers   []string // of all members
	cfg     Config
	running []*exec.Cmd
}

// program finds one of etcd's in the directory that the environment names.
func program(t *testing.T, name string) string {
	t.Helper()
	if os.Getenv("KUBEBUNDLE_INTEGRATION") != "1" {
		t.Skip("needs etcd, etcdctl and etcdutl: set KUBEBUNDLE_INTEGRATION=1, and KUBEBUNDLE_ETCD to their directory")
	}
	if dir := os.Getenv("KUBEBUNDLE_ETCD"); dir != "" {
		name = filepath.Join(dir, name)
	}
	p, err := exec.LookPath(name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func must[T any](t *testing.T) func(v T, err error) T {
	t.Helper()
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	l := must[net.Listener](t)((&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0"))
	defer func() { _ = l.Close() }()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

func newReal(t *testing.T) *real {
	t.Helper()
	r := &real{t: t, dir: t.TempDir(), client: "https://127.0.0.1:" + freePort(t), peers: []string{"http://127.0.0.1:" + freePort(t)}}
	ca := must[*pki.Pair](t)(pki.NewCA(pki.Spec{CommonName: "etcd-ca", Algorithm: "ECDSA-P256", NotBefore: time.Now()}))
	leaf := must[*pki.Pair](t)(pki.NewLeaf(ca, pki.Spec{
		CommonName: "n1", IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, Algorithm: "ECDSA-P256", NotBefore: time.Now(),
		Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}))
	for name, data := range map[string][]byte{"ca.crt": ca.CertPEM, "n.crt": leaf.CertPEM, "n.key": leaf.KeyPEM} {
		if err := os.WriteFile(filepath.Join(r.dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r.cfg = Config{Endpoints: []string{r.client}, CA: ca.CertPEM, Cert: leaf.CertPEM, Key: leaf.KeyPEM, Dial: (&net.Dialer{}).DialContext}
	t.Cleanup(r.stop)
	return r
}

// start runs a member on a data directory; initial cluster and token are for a new one.
func (r *real) start(name, data, client, peer string, flags ...string) {
	r.t.Helper()
	var log bytes.Buffer
	cmd := exec.Command(program(r.t, "etcd"), "--name", name, "--data-dir", data, "--listen-client-urls", client, "--advertise-client-urls", client,
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", name+"="+peer, "--cert-file", filepath.Join(r.dir, "n.crt"),
		"--key-file", filepath.Join(r.dir, "n.key"), "--trusted-ca-file", filepath.Join(r.dir, "ca.crt"), "--client-cert-auth")
	cmd.Args = append(cmd.Args, flags...)
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	r.running = append(r.running, cmd)
	r.t.Cleanup(func() {
		if r.t.Failed() {
			r.t.Logf("%s said last: …%s", name, log.String()[max(0, log.Len()-2000):])
		}
	})
}

func (r *real) stop() {
	for _, cmd := range r.running {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	r.running = nil
}

func (r *real) open() *Client {
	r.t.Helper()
	c := must[*Client](r.t)(Open(r.cfg))
	r.t.Cleanup(func() { _ = c.Close() })
	return c
}

// healthy waits until a member serves.
func (r *real) healthy(c *Client) {
	r.t.Helper()
	var err error
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		if err = c.Healthy(r.t.Context()); err == nil {
			return
		}
	}
	r.t.Fatal(err)
}

// tool runs etcdctl or etcdutl.
func (r *real) tool(args ...string) string {
	r.t.Helper()
	cmd := exec.CommandContext(r.t.Context(), program(r.t, args[0]), args[1:]...)
	cmd.Env = append(os.Environ(), "ETCDCTL_ENDPOINTS="+r.client, "ETCDCTL_CACERT="+filepath.Join(r.dir, "ca.crt"),
		"ETCDCTL_CERT="+filepath.Join(r.dir, "n.crt"), "ETCDCTL_KEY="+filepath.Join(r.dir, "n.key"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		r.t.Fatalf("%v: %v\n%s", args, err, out)
	}
	return string(out)
}

// Saved, destroyed, restored: the keys are there, their later values are not, revisions go forward only, and whoever watches from before is
// told to read anew.
func TestAgainstARealEtcd(t *testing.T) {
	r := newReal(t)
	data := filepath.Join(r.dir, "data")
	r.start("n1", data, r.client, r.peers[0])
	c := r.open()
	r.healthy(c)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	put := func(k, v string) int64 {
		t.Helper()
		return must[*clientv3.PutResponse](t)(c.c.Put(ctx, k, v)).Header.Revision
	}
	put("/registry/minions/n1", "k8s\x00")
	for i := range 500 {
		put(fmt.Sprintf("/registry/x/%04d", i), strings.Repeat("v", 2000))
	}
	put("/registry/y", "before")
	file := filepath.Join(r.dir, "s.db")
	var came int64
	s := must[*Snapshot](t)(c.Save(ctx, file, func(n int64) { came = n }))
	if s.Keys != 502 || came != s.Size+32 || len(s.Cluster.Nodes) != 1 || len(s.Cluster.Members) != 1 || s.Cluster.Members[0].PeerURLs[0] != r.peers[0] {
		t.Errorf("saved %+v; %d bytes came", s, came)
	}
	// etcd's own tools agree, in both directions.
	status := r.tool("etcdutl", "snapshot", "status", file, "-w", "json")
	for _, want := range []string{fmt.Sprintf(`"hash":%d,`, s.Hash), fmt.Sprintf(`"revision":%d,`, s.Revision), fmt.Sprintf(`"totalKey":%d,`, s.Keys)} {
		if !strings.Contains(status, want) {
			t.Errorf("etcdutl says %s, not %s", status, want)
		}
	}
	theirs := filepath.Join(r.dir, "theirs.db")
	r.tool("etcdctl", "snapshot", "save", theirs)
	if got := must[*Snapshot](t)(ReadSnapshot(ctx, theirs, false)); got.Keys != s.Keys || got.Revision != s.Revision {
		t.Errorf("read etcdctl's as %+v", got)
	}
	last := put("/registry/y", "after")
	put("/registry/z", "after")
	r.stop()
	if err := os.RemoveAll(data); err != nil {
		t.Fatal(err)
	}
	restored := Restore{File: file, DataDir: data, Name: "n1", PeerURLs: r.peers, InitialCluster: "n1=" + r.peers[0], Token: "t", BumpRevision: 1_000_000}
	if err := restored.Run(); err != nil {
		t.Fatal(err)
	}
	r.start("n1", data, r.client, r.peers[0])
	r.healthy(c)
	get := must[*clientv3.GetResponse](t)(c.c.Get(ctx, "/registry/", clientv3.WithPrefix(), clientv3.WithCountOnly()))
	if get.Count != 502 || get.Header.Revision <= last {
		t.Errorf("%d keys at revision %d, want 502 and one behind %d", get.Count, get.Header.Revision, last)
	}
	if y := must[*clientv3.GetResponse](t)(c.c.Get(ctx, "/registry/y")); string(y.Kvs[0].Value) != "before" {
		t.Errorf("y is %s", y.Kvs[0].Value)
	}
	w := <-c.c.Watch(ctx, "/registry/", clientv3.WithPrefix(), clientv3.WithRev(last))
	if w.CompactRevision == 0 {
		t.Errorf("a watch from before the restore is not told that its time is gone: %+v", w)
	}
	if rev := put("/registry/y", "new"); rev <= last {
		t.Errorf("the next revision is %d, before %d", rev, last)
	}
}

// Three members of one file: two of them serve, the third one follows.
func TestRestoreThree(t *testing.T) {
	r := newReal(t)
	r.start("n1", filepath.Join(r.dir, "data"), r.client, r.peers[0])
	c := r.open()
	r.healthy(c)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	must[*clientv3.PutResponse](t)(c.c.Put(ctx, "/registry/y", "before"))
	file := filepath.Join(r.dir, "s.db")
	must[*Snapshot](t)(c.Save(ctx, file, nil))
	r.stop()
	clients := []string{r.client, "https://127.0.0.1:" + freePort(t), "https://127.0.0.1:" + freePort(t)}
	r.peers = append(r.peers, "http://127.0.0.1:"+freePort(t), "http://127.0.0.1:"+freePort(t))
	var all []string
	for i, p := range r.peers {
		all = append(all, fmt.Sprintf("n%d=%s", i+1, p))
	}
	var m Restore
	for i, p := range r.peers {
		name, data := fmt.Sprintf("n%d", i+1), filepath.Join(r.dir, fmt.Sprint("restored", i))
		m = Restore{File: file, DataDir: data, Name: name, PeerURLs: []string{p}, InitialCluster: strings.Join(all, ","), Token: "t", BumpRevision: 1000}
		if i == 2 { // its folder is empty: it joins what the others were restored to, as the member that it is to become
			r.start(name, data, clients[i], p, "--initial-cluster", m.InitialCluster, "--initial-cluster-state", "existing")
			break
		}
		if err := m.Run(); err != nil {
			t.Fatal(err)
		}
		r.start(name, data, clients[i], p)
		if i == 1 {
			y := must[*clientv3.GetResponse](t)(c.c.Get(ctx, "/registry/y")) // waits for a leader
			if string(y.Kvs[0].Value) != "before" {
				t.Errorf("y is %s", y.Kvs[0].Value)
			}
		}
	}
	r.healthy(c)
	if members := must[[]Member](t)(c.Members(ctx)); len(members) != 3 {
		t.Errorf("members: %+v", members)
	}
	want := must[uint64](t)(m.ClusterID())
	for i := range r.peers {
		if id, err := DataClusterID(filepath.Join(r.dir, fmt.Sprint("restored", i))); err != nil || id != want {
			t.Errorf("the data of n%d is of cluster %x, %v, want %x", i+1, id, err, want)
		}
	}
	// Each takes itself out, and is asked alone.
	for i := 2; i > 0; i-- {
		own := r.cfg
		own.Endpoints = clients[i : i+1]
		last := must[*Client](t)(Open(own))
		err := last.Remove(ctx, r.peers[i])
		for errors.Is(err, rpctypes.ErrUnhealthy) { // its connections to the others are not five seconds old
			time.Sleep(time.Second)
			err = last.Remove(ctx, r.peers[i])
		}
		if err != nil {
			t.Error(err)
		}
		_ = last.Close()
		if members := must[[]Member](t)(c.Members(ctx)); len(members) != i {
			t.Errorf("members without n%d: %+v", i+1, members)
		}
	}
}
