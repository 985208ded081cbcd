package differential

import (
	"context"
	"crypto/tls"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/version"
	"k8s.io/cluster-bootstrap/token/jws"

	"kubebundle/installer/cluster"
	"kubebundle/installer/pki"
)

// EnvVersions chooses what runs: "all", "ci", or versions with commas between.
const EnvVersions = "KUBEBUNDLE_DIFFERENTIAL"

// TestDifferential is the whole comparison; see doc.go.
func TestDifferential(t *testing.T) {
	versions := chosen(t)
	b, err := newBuilder(t.Context(), slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	standin, err := b.standin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range versions {
		t.Run(v, func(t *testing.T) {
			kubeadm, err := b.kubeadm(t.Context(), v)
			if err != nil {
				t.Fatal(err)
			}
			r := &run{version: version.MustParseGeneric(v), kubeadm: kubeadm, standin: standin, used: map[int]bool{}}
			all := 0
			t.Cleanup(func() {
				if err := keepResult(b.dir, v, r.result(!t.Failed() && len(r.scenarios) == all)); err != nil {
					t.Error(err)
				}
			})
			for _, s := range scenarios() {
				if r.version.Minor() < s.From {
					continue
				}
				all++
				t.Run(s.Name, func(t *testing.T) {
					if r.scenario(t, s); !t.Failed() {
						r.scenarios = append(r.scenarios, s.Name)
					}
				})
			}
			if len(r.scenarios) < all {
				return // a row may be unused because a scenario did not get that far, or -run left it out
			}
			for _, row := range stale(r.version.Minor(), r.used) {
				t.Errorf("a row that has become untrue for %s: %+v", v, row)
			}
		})
	}
}

// chosen reads the environment. Without it nothing runs, except in CI.
func chosen(t *testing.T) []string {
	t.Helper()
	want, ci := os.Getenv(EnvVersions), os.Getenv("CI") == "true"
	switch {
	case want == "" && !ci:
		t.Skipf("set %s=all (or ci, or versions) to compare with kubeadm", EnvVersions)
	case want == "all":
		return Versions()
	case want == "" || want == "ci":
		return CIVersions()
	}
	list := strings.Split(want, ",")
	for _, v := range list {
		if !slices.Contains(Versions(), v) {
			t.Fatalf("%s: no kubeadm %s here, only %s", EnvVersions, v, strings.Join(Versions(), ", "))
		}
	}
	return list
}

// run is the comparison for one version.
type run struct {
	version          *version.Version
	kubeadm, standin string
	used             map[int]bool // rows of the table
	scenarios        []string     // that passed
	artefacts        int          // compared
	differences      int          // that the table allows
}

// result is what is kept of the run.
func (r *run) result(passed bool) Result {
	out := Result{Passed: passed, Scenarios: r.scenarios, Artefacts: r.artefacts, Differences: r.differences}
	for i, row := range Table() {
		if r.used[i] {
			out.Rows = append(out.Rows, row.Artefact+" "+row.Path)
		}
	}
	return out
}

func (r *run) check(t *testing.T, scenario string, kubeadm, ours artefacts) {
	t.Helper()
	diffs := compare(kubeadm, ours)
	r.artefacts += len(kubeadm)
	r.differences += len(diffs)
	for _, d := range unlisted(r.version.Minor(), scenario, diffs, r.used) {
		r.differences--
		t.Errorf("%s: %s", scenario, d)
	}
	if len(kubeadm) < 4 {
		t.Errorf("%s: kubeadm made only %d artefacts", scenario, len(kubeadm))
	}
}

func (r *run) scenario(t *testing.T, s scenario) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	tag := "v" + r.version.String()
	cfg := s.initConfig(r.version)
	node := s.Node
	if strings.Contains(cfg, "name: first.example") {
		node = "first.example"
	}
	certs := "/etc/kubernetes/pki"
	if strings.Contains(cfg, "/etc/kubernetes/certs") {
		certs = "/etc/kubernetes/certs"
	}

	theirs := newAPIServer(tag)
	theirs.register(node)
	s.Files = withConfig(s.Files, cfg)
	rt, err := newRoot(t.TempDir(), r.kubeadm, r.standin, tag, s.Node, s)
	if err != nil {
		t.Fatal(err)
	}
	start := now{time.Now()}
	err = rt.kubeadm(ctx, theirs, rt.servingCertificate(certs), "init", "--config", configPath, "--skip-phases", "preflight")
	if err != nil {
		t.Fatal(err)
	}

	ours := newAPIServer(tag)
	ours.register(node)
	m, err := newMachine(r.version, s.Node, s.Network, s, cfg)
	if err != nil {
		t.Fatal(err)
	}
	ourStart := now{time.Now()}
	if err := m.init(ctx, ours); err != nil {
		t.Fatal(err)
	}

	for _, srv := range []*apiServer{theirs, ours} {
		if _, problems := srv.all(); len(problems) > 0 {
			t.Errorf("requests that the API server of this test does not know: %q", problems)
		}
	}
	snapshot, err := rt.files(0)
	if err != nil {
		t.Fatal(err)
	}
	if len(m.snapshots) == 0 {
		t.Fatal("install did not start the kubelet")
	}
	r.check(t, s.Name+"/start", r.read(t, start, snapshot, nil), r.read(t, ourStart, m.snapshots[0], nil))
	end, err := rt.files(-1)
	if err != nil {
		t.Fatal(err)
	}
	theirObjects, _ := theirs.all()
	ourObjects, _ := ours.all()
	r.check(t, s.Name+"/end", r.read(t, start, end, theirObjects), r.read(t, ourStart, m.files(), ourObjects))

	if s.Join == "" {
		return
	}
	serving, err := rt.servingCertificate(certs)()
	if err != nil {
		t.Fatal(err)
	}
	r.join(t, s, "join kubeadm's", theirs, serving, end[certs+"/ca.crt"].data)
	own, err := tls.X509KeyPair(m.files()[certs+"/apiserver.crt"].data, m.files()[certs+"/apiserver.key"].data)
	if err != nil {
		t.Fatal(err)
	}
	r.join(t, s, "join ours", ours, &own, m.files()[certs+"/ca.crt"].data)
}

func withConfig(files map[string]string, cfg string) map[string]string {
	out := map[string]string{configPath: cfg}
	for p, text := range files {
		out[p] = text
	}
	return out
}

func (r *run) read(t *testing.T, n now, files map[string]file, objects map[string]object) artefacts {
	t.Helper()
	out, err := read(n, files, objects)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// join lets both sides make a worker of one cluster.
func (r *run) join(t *testing.T, s scenario, what string, srv *apiServer, serving *tls.Certificate, ca []byte) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	tag := "v" + r.version.String()
	pair, err := pki.Parse(ca, nil)
	if err != nil {
		t.Fatal(err)
	}
	sign(t, srv)
	worker := s
	worker.Node = "worker-a"
	node := worker.Node
	if strings.Contains(s.Join, "name: worker-b") {
		node = "worker-b"
	}
	cfg := s.joinConfig(r.version, pki.Pin(pair.Cert))
	worker.Files = map[string]string{configPath: cfg}

	theirs, ours := newAPIServer(tag), newAPIServer(tag)
	for _, x := range []*apiServer{theirs, ours} {
		x.copyFrom(srv)
		x.register(node)
	}
	rt, err := newRoot(t.TempDir(), r.kubeadm, r.standin, tag, worker.Node, worker)
	if err != nil {
		t.Fatal(err)
	}
	start := now{time.Now()} // what has a time here was made before: it is one and the same for both sides
	err = rt.kubeadm(ctx, theirs, func() (*tls.Certificate, error) { return serving, nil }, "join", "--config", configPath, "--skip-phases", "preflight")
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	m, err := newMachine(r.version, worker.Node, s.Network, worker, cfg)
	if err != nil {
		t.Fatal(err)
	}
	info := &cluster.ClusterInfo{Server: "https://" + s.endpoint(), CAPEM: ca}
	if err := m.join(ctx, ours, store{server: srv, info: info}); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	snapshot, err := rt.files(0)
	if err != nil {
		t.Fatal(err)
	}
	if len(m.snapshots) == 0 {
		t.Fatal("install did not start the kubelet")
	}
	r.check(t, s.Name+"/"+what+"/start", r.read(t, start, snapshot, nil), r.read(t, start, m.snapshots[0], nil))
	end, err := rt.files(-1)
	if err != nil {
		t.Fatal(err)
	}
	theirObjects, _ := theirs.all()
	ourObjects, _ := ours.all()
	r.check(t, s.Name+"/"+what+"/end", r.read(t, start, end, theirObjects), r.read(t, start, m.files(), ourObjects))
}

// sign does what the controller manager does with cluster-info: it signs it with the token.
func sign(t *testing.T, srv *apiServer) {
	t.Helper()
	const at = "/api/v1/namespaces/kube-public/configmaps/cluster-info"
	obj := srv.get(at)
	data, _ := obj["data"].(object)
	text, _ := data["kubeconfig"].(string)
	id, secret, _ := strings.Cut(token, ".")
	sig, err := jws.ComputeDetachedSignature(text, id, secret)
	if err != nil {
		t.Fatal(err)
	}
	data["jws-kubeconfig-"+id] = sig
	srv.put(at, obj)
}
