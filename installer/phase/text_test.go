package phase

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"kubebundle/installer/cluster"
	"kubebundle/installer/step"
)

// printed is what init says at its end.
func printed(t *testing.T, args ...string) (string, *State) {
	t.Helper()
	m := goodHost(t)
	s := initState(t, m, goodRuntime(), args...)
	steps, _ := planAll(t, InitPhases(), s, m)
	var out bytes.Buffer
	if err := steps[len(steps)-1].Apply(t.Context(), &step.Target{Host: m, Out: &out}); err != nil {
		t.Fatal(err)
	}
	return out.String(), s
}

func TestJoinText(t *testing.T) {
	text, s := printed(t, "--token", joinToken, "--control-plane-endpoint", "api.example:6443")
	text = strings.ReplaceAll(text, pinOf(s), "sha256:PIN")
	golden(t, "join-text.txt", text)

	text, _ = printed(t, "--token", joinToken, "--skip-token-print")
	if strings.Contains(text, joinToken) || !strings.Contains(text, "<value withheld>") {
		t.Errorf("the token is printed although it should not be:\n%s", text)
	}
}

// The token step may find another token that still serves: the text must name that one.
func TestJoinTextNamesTheTokenThatWasFound(t *testing.T) {
	m := goodHost(t)
	s := initState(t, m, goodRuntime())
	steps, _ := planAll(t, InitPhases(), s, m)
	for _, st := range steps {
		if tok, ok := st.(step.Token); ok {
			if !tok.Reuse {
				t.Error("a random token would be added on every run")
			}
			*tok.Token = cluster.Token{ID: "found0", Secret: "0123456789abcdef"}
		}
	}
	var out bytes.Buffer
	if err := steps[len(steps)-1].Apply(t.Context(), &step.Target{Out: &out}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "found0.0123456789abcdef") {
		t.Errorf("got\n%s", out.String())
	}
}

func TestJoinTextSaysWhatTheNetworkNeeds(t *testing.T) {
	s := &State{Contract: testContract(t, testVersion)}
	if got := joinText("./install join", false, len(manifestNames(s)) > 0); !strings.Contains(got, "deploy a pod network") {
		t.Errorf("got\n%s", got)
	}
	s.Contract.Files = append(s.Contract.Files, manifestFile())
	if got := joinText("./install join", false, len(manifestNames(s)) > 0); !strings.Contains(got, "No --pod-network-cidr") {
		t.Errorf("got\n%s", got)
	}
	if got := joinText("./install join", true, true); strings.Contains(got, "pod-network") {
		t.Errorf("got\n%s", got)
	}
}

func TestComponentsAreAskedWhereTheirProbesAre(t *testing.T) {
	for _, c := range []struct {
		version string
		want    map[string]string
	}{
		{"v1.34.4", map[string]string{
			"kube-apiserver": "https://10.0.0.10:6443/livez", "kube-controller-manager": "https://127.0.0.1:10257/healthz", "kube-scheduler": "https://127.0.0.1:10259/livez",
		}},
		{"v1.30.4", map[string]string{
			"kube-apiserver": "https://10.0.0.10:6443/livez", "kube-controller-manager": "https://127.0.0.1:10257/healthz", "kube-scheduler": "https://127.0.0.1:10259/healthz",
		}},
		{"v1.14.10", map[string]string{
			"kube-apiserver": "https://10.0.0.10:6443/healthz", "kube-controller-manager": "http://127.0.0.1:10252/healthz", "kube-scheduler": "http://127.0.0.1:10251/healthz",
		}},
	} {
		t.Run(c.version, func(t *testing.T) {
			m := goodHost(t)
			s := initState(t, m, goodRuntime())
			s.Release, s.Contract = testRelease(t, c.version), testContract(t, c.version)
			s.Init.Cluster.ImageRepository = "" // the version's own
			cl, n, err := s.initCluster(t.Context(), m)
			if err != nil {
				t.Fatal(err)
			}
			for component, want := range c.want {
				if got, err := s.healthURL(cl, n, component, m); err != nil || got != want {
					t.Errorf("%s: got %s, %v, want %s", component, got, err, want)
				}
			}
		})
	}
}

func TestWaitForAComponent(t *testing.T) {
	healthy := false
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if !healthy {
			http.Error(w, "etcd failed", http.StatusInternalServerError)
		}
	}))
	defer srv.Close()
	wait := componentHealthy("kube-scheduler", srv.URL+"/livez", 300*time.Millisecond, "unix:///run/containerd/containerd.sock")
	err := wait.Apply(t.Context(), &step.Target{})
	if err == nil || !strings.Contains(err.Error(), "500 etcd failed") {
		t.Errorf("got %v, want the last answer in it", err)
	}
	// Whom to ask about the container depends on who runs it.
	for socket, want := range map[string]string{
		"unix:///run/containerd/containerd.sock": "crictl --runtime-endpoint unix:///run/containerd/containerd.sock ps -a | grep kube-scheduler, then crictl --runtime-endpoint ",
		"unix:///var/run/dockershim.sock":        "docker ps -a | grep kube-scheduler, then docker logs CONTAINER; journalctl",
		"":                                       "crictl ps -a | grep kube-scheduler, then crictl logs CONTAINER (with Docker's own kubelet docker ps -a",
	} {
		var h interface{ Hint() string }
		err := componentHealthy("kube-scheduler", srv.URL, time.Millisecond, socket).Apply(t.Context(), &step.Target{})
		if !errors.As(err, &h) || !strings.HasPrefix(h.Hint(), want) {
			t.Errorf("%q: %v, want the hint %q", socket, err, want)
		}
	}
	healthy = true
	if ok, err := wait.Satisfied(t.Context(), &step.Target{}); !ok || err != nil {
		t.Errorf("got %v, %v", ok, err)
	}
}

func TestHealthChecksStayOnThisNode(t *testing.T) {
	for _, u := range []string{"https://192.0.2.1:6443/livez", "https://example.org/livez"} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		_, _, err := localGet(ctx, u)
		cancel()
		if err == nil || strings.Contains(err.Error(), "deadline") || strings.Contains(err.Error(), "no such host") {
			t.Errorf("%s: got %v, want a refusal without a packet", u, err)
		}
	}
}

func TestAwaitFile(t *testing.T) {
	m := goodHost(t)
	wait := awaitFile("a certificate", kubeletClient, 50*time.Millisecond)
	if err := wait.Apply(t.Context(), &step.Target{Host: m}); err == nil || !strings.Contains(err.Error(), "is not there yet") {
		t.Errorf("got %v", err)
	}
	write(t, m, kubeletClient, "")
	if ok, _ := wait.Satisfied(t.Context(), &step.Target{Host: m}); ok {
		t.Error("an empty file is taken for a certificate")
	}
	write(t, m, kubeletClient, "x")
	if ok, err := wait.Satisfied(t.Context(), &step.Target{Host: m}); !ok || err != nil {
		t.Errorf("got %v, %v", ok, err)
	}
}

func TestSkipped(t *testing.T) {
	for _, c := range []struct {
		name string
		want bool
	}{{"addon/coredns", true}, {"addon", true}, {"certs/sa", true}, {"certs", false}, {"addons", false}} {
		if got := Skipped([]string{"Addon", " certs/sa "}, c.name); got != c.want {
			t.Errorf("%s: got %v", c.name, got)
		}
	}
}

func TestSkippedSubPhases(t *testing.T) {
	m := goodHost(t)
	s := initState(t, m, goodRuntime(), "--skip-phases", "certs/etcd-peer,kubeconfig/scheduler,control-plane/scheduler,upload-config/kubelet")
	_, text := planAll(t, InitPhases(), s, m)
	for _, gone := range []string{"pki/etcd/peer.", "scheduler.conf", "kube-scheduler.yaml", "kubelet-config"} {
		if strings.Contains(text, gone) {
			t.Errorf("%s is planned although it is skipped", gone)
		}
	}
	if !strings.Contains(text, "pki/etcd/server.crt") {
		t.Error("more is skipped than was asked for")
	}
}

// A CA that only this run would know must sign nothing.
func TestNoCAOfOneRun(t *testing.T) {
	for _, c := range []struct {
		args []string
		only []string
		want string
	}{
		{[]string{"--skip-phases", "certs/etcd-ca"}, nil, "certs/etcd-ca"},
		{[]string{"--skip-phases", "certs"}, nil, "certs/ca"},
		{nil, []string{"kubeconfig"}, "certs/ca"},
		{nil, []string{"certs/front-proxy-client"}, "certs/front-proxy-ca"},
		{nil, []string{"bootstrap-token"}, "certs/ca"},
	} {
		m := goodHost(t)
		s := initState(t, m, goodRuntime(), c.args...)
		s.Only = c.only
		var err error
		for _, p := range InitPhases() {
			if err != nil || !Chosen(c.only, p.Name()) || Skipped(s.skips(), p.Name()) {
				continue
			}
			_, err = p.Plan(t.Context(), s, m)
		}
		var none *NoCAError
		if !errors.As(err, &none) || none.Part != c.want {
			t.Errorf("%v %v: %v", c.args, c.only, err)
		}
	}
}

func TestNameservers(t *testing.T) {
	for _, c := range []struct {
		name     string
		resolved bool
		text     string
		servers  []string
		want     bool
	}{
		{"none", false, "", nil, false},
		{"some", false, "", []string{"10.0.0.1"}, true},
		{"resolved without an upstream", true, "# nothing\nsearch example\n", []string{"127.0.0.53"}, false},
		{"resolved", true, "nameserver 10.0.0.1\n", []string{"127.0.0.53"}, true},
		{"resolved without a file", true, "", []string{"127.0.0.53"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := goodHost(t)
			m.FactsValue.ResolvedActive, m.FactsValue.Nameservers = c.resolved, c.servers
			if c.text != "" {
				write(t, m, resolvedConf, c.text)
			}
			s := initState(t, m, goodRuntime())
			steps, err := CoreDNS{}.Plan(t.Context(), s, m)
			if err != nil {
				t.Fatal(err)
			}
			got, err := hasNameservers(s.Node, s.Facts, m)
			if err != nil || got != c.want {
				t.Errorf("got %v, %v", got, err)
			}
			if len(steps) != 1 {
				t.Errorf("got %v", steps)
			}
		})
	}
}

func TestProxies(t *testing.T) {
	m := goodHost(t)
	s := initState(t, m, goodRuntime(), "--pod-network-cidr", "10.244.0.0/16")
	s.Environ = []string{"HTTPS_PROXY=http://proxy:3128", "no_proxy=10.96.0.0/12", "HOME=/root"}
	if _, err := (Preflight{}).Plan(t.Context(), s, m); err != nil {
		t.Fatal(err)
	}
	find(t, s.Problems, "HTTPProxy")
	if p := find(t, s.Problems, "HTTPProxyCIDR"); !strings.Contains(p.Message, "10.244.0.0/16") || len(s.Problems) != 2 {
		t.Errorf("got %v", s.Problems)
	}
	if len(s.Node.Proxy) != 2 || s.Node.Proxy[0].Name != "HTTPS_PROXY" {
		t.Errorf("static pods get %v", s.Node.Proxy)
	}
}

func TestConfigurationThatAsksForOtherImages(t *testing.T) {
	m := goodHost(t)
	s := initState(t, m, goodRuntime(), "--image-repository", "registry.example/k8s")
	_, err := Preflight{}.Plan(t.Context(), s, m)
	if err == nil || !strings.Contains(err.Error(), "image repository registry.example/k8s: the bundle has registry.k8s.io/kube-apiserver") {
		t.Errorf("got %v", err)
	}
	s = initState(t, m, goodRuntime())
	s.Init.Cluster.Etcd.Local.ImageTag = "9.9.9"
	if _, err := (Etcd{}).Plan(t.Context(), s, m); err == nil || !strings.Contains(err.Error(), "etcd image tag 9.9.9") {
		t.Errorf("got %v", err)
	}
}
