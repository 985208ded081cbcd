package ha

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"kubebundle/test/e2e/suite"
	"kubebundle/test/e2e/suitekubeadm"
	"kubebundle/test/lab/hosts"
)

var shared *suite.Suite

// TestMain runs nothing unless KUBEBUNDLE_E2E=1 asks for it; then everything that is missing is a failure, never a skip.
func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if os.Getenv("KUBEBUNDLE_E2E") != "1" {
		fmt.Println("the tests of a highly available cluster are off; KUBEBUNDLE_E2E=1 turns them on (root, three hosts, about five minutes)")
		return 0
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	defer stop()
	var err error
	shared, err = suite.SetupWith(ctx, slog.New(slog.NewTextHandler(os.Stderr, nil)), suite.Options{ControlPlanes: 3, VIP: true})
	if shared != nil {
		defer func() {
			if err := shared.Close(context.WithoutCancel(ctx)); err != nil {
				fmt.Fprintln(os.Stderr, "take the lab down:", err)
			}
		}()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "make the cluster:", err)
		if shared != nil {
			fmt.Fprintln(os.Stderr, shared.Report(context.WithoutCancel(ctx)))
		}
		return 1
	}
	return m.Run()
}

// TestHA looks at the cluster, then takes a control plane from it.
func TestHA(t *testing.T) {
	s := shared
	for _, b := range []struct {
		name string
		test func(t *testing.T, s *suite.Suite)
	}{
		{"suitekubeadm", suitekubeadm.Test},
		{"endpoint", endpoint},
		{"powercut", powercut},
	} {
		if !t.Run(b.name, func(t *testing.T) { b.test(t, s) }) {
			t.Log(s.Report(context.WithoutCancel(t.Context())))
		}
	}
}

// endpoint: everybody uses the address that moves, and not one node's; a kubelet of a control plane may use its own API server.
func endpoint(t *testing.T, s *suite.Suite) {
	vip := s.Lab.Net.Spare().String() + ":8443"
	if holder(t, s) == nil {
		t.Fatal("no control plane holds the virtual IP")
	}
	for _, h := range s.Cluster.Hosts {
		out, err := h.Output(t.Context(), "grep", "-h", "server:", "/etc/kubernetes/admin.conf")
		if err != nil || !strings.Contains(out, vip) {
			t.Errorf("admin.conf of %s says %q, %v", h.Name, out, err)
		}
	}
	proxy := suite.Get[corev1.ConfigMap](t, s, "configmap", "-n", "kube-system", "kube-proxy").Data["kubeconfig.conf"]
	if !strings.Contains(proxy, vip) {
		t.Errorf("kube-proxy goes to %q", proxy)
	}
	info := suite.Get[corev1.ConfigMap](t, s, "configmap", "-n", "kube-public", "cluster-info").Data["kubeconfig"]
	if !strings.Contains(info, vip) {
		t.Errorf("cluster-info says %q", info)
	}
}

// holder is the control plane that has the address; nil if none has, and a failure if two have.
func holder(t *testing.T, s *suite.Suite) *hosts.Host {
	t.Helper()
	var found *hosts.Host
	for _, h := range s.Cluster.Hosts {
		out, err := h.Output(t.Context(), "ip", "-o", "-4", "address")
		if err != nil {
			continue // switched off
		}
		if strings.Contains(out, s.Lab.Net.Spare().String()+"/32") {
			if found != nil {
				t.Errorf("%s and %s both hold the address", found.Name, h.Name)
			}
			found = h
		}
	}
	return found
}

// patience is the promise: after a power cut the API answers through the address again within this time.
const patience = 20 * time.Second

// powercut: a client writes all the time while the holder of the address loses its power.
func powercut(t *testing.T, s *suite.Suite) {
	w := startWriter(t, s.Cluster.Kubeconfig)
	time.Sleep(3 * time.Second)
	victim := holder(t, s)
	if victim == nil {
		t.Fatal("no control plane holds the virtual IP")
	}
	if err := victim.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	cut := time.Now()
	suite.Eventually(t, 2*time.Minute, func() error {
		if last, err := w.lastWrite(); last.Before(cut.Add(time.Second)) {
			return fmt.Errorf("nothing was written since %v: %w", last, err)
		}
		return nil
	})
	time.Sleep(5 * time.Second)
	acknowledged, longest := w.stop()
	t.Logf("without %s, which held the address: longest time without a write %v, %d writes acknowledged", victim.Name, longest.Round(100*time.Millisecond), len(acknowledged))
	if longest > patience {
		t.Errorf("no write for %v, want at most %v", longest, patience)
	}
	there := map[string]bool{}
	for _, cm := range suite.Get[corev1.ConfigMapList](t, s, "configmaps", "-n", "default", "-l", "writer=ha").Items {
		there[cm.Name] = true
	}
	for _, name := range acknowledged {
		if !there[name] {
			t.Errorf("ConfigMap %s was acknowledged and is not there", name)
		}
	}
	if err := victim.Reboot(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Cluster.AwaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	if holder(t, s) == nil {
		t.Error("nobody holds the address after the host has come back")
	}
}

// writer makes ConfigMaps, one after the other, and notes which were acknowledged and when.
type writer struct {
	cancel context.CancelFunc
	done   chan struct{}

	mu      sync.Mutex
	names   []string
	last    time.Time
	longest time.Duration
	err     error // the last one
}

func startWriter(t *testing.T, kubeconfig string) *writer {
	t.Helper()
	conf, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	tls, err := rest.TLSConfigFor(conf)
	if err != nil {
		t.Fatal(err)
	}
	// A connection for each write: one that hangs, which a client keeps for a while, is not what is measured.
	hc := &http.Client{Transport: &http.Transport{TLSClientConfig: tls, DisableKeepAlives: true}, Timeout: 2 * time.Second}
	client, err := kubernetes.NewForConfigAndClient(conf, hc)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	w := &writer{cancel: cancel, done: make(chan struct{}), last: time.Now()}
	go func() {
		defer close(w.done)
		for i := 0; ctx.Err() == nil; i++ {
			name := fmt.Sprintf("ha-%d", i)
			cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"writer": "ha"}}}
			_, err := client.CoreV1().ConfigMaps("default").Create(ctx, cm, metav1.CreateOptions{})
			w.note(name, err)
			time.Sleep(100 * time.Millisecond)
		}
	}()
	return w
}

func (w *writer) note(name string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		w.err = err
		return
	}
	w.names = append(w.names, name)
	w.longest = max(w.longest, time.Since(w.last))
	w.last = time.Now()
}

func (w *writer) lastWrite() (time.Time, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last, w.err
}

func (w *writer) stop() (acknowledged []string, longest time.Duration) {
	w.cancel()
	<-w.done
	return w.names, w.longest
}
