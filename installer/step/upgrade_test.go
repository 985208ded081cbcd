package step_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubebundle/bundle/bundletest"
	"kubebundle/installer/cluster"
	"kubebundle/installer/cluster/clustertest"
	"kubebundle/installer/host"
	"kubebundle/installer/step"
)

func TestCopies(t *testing.T) {
	m := host.NewMemory()
	tg := &step.Target{Host: m}
	large := strings.Repeat("x", 300<<10)
	ok(t, m.WriteFile("/etc/a", []byte(large+"1"), 0o600))
	ok(t, m.WriteFile("/etc/b", []byte("b"), 0o755))
	s := step.Copies{What: "what there is to /kept", List: []step.CopiedFile{{From: "/etc/a", To: "/kept/etc/a", Mode: 0o600}, {From: "/etc/b", To: "/kept/etc/b", Mode: 0o755}}}
	satisfied(t, s, tg, false)
	ok(t, s.Apply(t.Context(), tg))
	satisfied(t, s, tg, true)
	ok(t, m.WriteFile("/etc/a", []byte(large+"2"), 0o600)) // same size
	satisfied(t, s, tg, false)
	ok(t, s.Apply(t.Context(), tg))
	ok(t, m.Chmod("/kept/etc/b", 0o644))
	satisfied(t, s, tg, false)
	ok(t, m.Remove("/etc/b"))
	if err := s.Apply(t.Context(), tg); err == nil {
		t.Error("an original that is gone is no error")
	}
}

func TestHopeless(t *testing.T) {
	looks := 0
	s := step.Await{What: "a program that cannot start", Timeout: time.Hour, Interval: time.Millisecond, Hint: "look there", Check: func(context.Context, *step.Target) error {
		looks++
		return &step.HopelessError{Err: errors.New("it ends again and again")}
	}}
	err := s.Apply(t.Context(), &step.Target{Host: host.NewMemory()})
	var ae *step.AwaitError
	if !errors.As(err, &ae) || err.Error() != "it ends again and again" || ae.Hint() != "look there" || looks != 1 {
		t.Errorf("after %d looks: %v", looks, err)
	}
}

// TestStagedBinaries: what was staged is put into place without the payload, and what is not there comes from it.
func TestStagedBinaries(t *testing.T) {
	b := open(t, bundletest.Small().WriteDir(t, t.TempDir()))
	m := host.NewMemory()
	tg := &step.Target{Host: m, Bundle: b}
	stage := step.NewBinaries(b.Contract())
	stage.Stage, stage.Staging = "/stage", true
	satisfied(t, stage, tg, false)
	ok(t, stage.Apply(t.Context(), tg))
	satisfied(t, stage, tg, true)
	if _, err := m.Stat("/usr/bin/kubelet"); err == nil {
		t.Error("to stage has installed")
	}
	swap := step.NewBinaries(b.Contract())
	swap.Stage = "/stage"
	ok(t, m.Remove("/stage/opt/cni/bin/bridge"))
	ok(t, swap.Apply(t.Context(), tg))
	satisfied(t, swap, tg, true)
	// What is in its place need not be staged.
	ok(t, m.RemoveAll("/stage"))
	satisfied(t, stage, tg, true)
}

func put(srv *clustertest.Server, name string, meta, spec clustertest.Object) {
	meta["name"], meta["namespace"], meta["uid"] = name, "default", "uid-"+name
	spec["nodeName"] = "n1"
	srv.Put("/api/v1/namespaces/default/pods/"+name, clustertest.Object{"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec})
}

func TestDrain(t *testing.T) {
	srv := clustertest.New(t)
	c := srv.Client(t)
	tg := &step.Target{Host: host.NewMemory(), Cluster: func(context.Context) (*cluster.Client, error) { return c, nil }}
	owned := func(kind string) clustertest.Object {
		return clustertest.Object{"ownerReferences": []any{clustertest.Object{"apiVersion": "apps/v1", "kind": kind, "name": "x", "uid": "u", "controller": true}}}
	}
	empty := clustertest.Object{"volumes": []any{clustertest.Object{"name": "v", "emptyDir": clustertest.Object{}}}}
	srv.Put("/api/v1/nodes/n1", clustertest.Object{"apiVersion": "v1", "kind": "Node", "metadata": clustertest.Object{"name": "n1"}, "spec": clustertest.Object{}})
	put(srv, "agent", owned("DaemonSet"), clustertest.Object{})
	put(srv, "static", clustertest.Object{"annotations": clustertest.Object{"kubernetes.io/config.mirror": "x"}}, clustertest.Object{})
	put(srv, "web", owned("ReplicaSet"), clustertest.Object{})

	cordon := step.Schedulable{Node: "n1"}
	satisfied(t, cordon, tg, false)
	ok(t, cordon.Apply(t.Context(), tg))
	satisfied(t, cordon, tg, true)

	// A budget says no twice.
	refusals, evicted := 2, ""
	srv.Fail = func(r *http.Request) (int, string) {
		name, is := strings.CutSuffix(strings.TrimPrefix(r.URL.Path, "/api/v1/namespaces/default/pods/"), "/eviction")
		if !is {
			return 0, ""
		}
		if refusals--; refusals >= 0 {
			return http.StatusTooManyRequests, "TooManyRequests"
		}
		evicted += name
		go func() {
			_ = c.Kube.CoreV1().Pods("default").Delete(context.Background(), name, metav1.DeleteOptions{})
			put(srv, name+"-again", owned("ReplicaSet"), clustertest.Object{}) // it tolerates a cordoned node
		}()
		return http.StatusNotFound, "NotFound" // "it is gone"
	}
	s := step.Drain{Node: "n1", Timeout: time.Minute}
	satisfied(t, s, tg, false)
	ok(t, s.Apply(t.Context(), tg))
	if evicted != "web" {
		t.Errorf("evicted %q, want web alone", evicted)
	}
	ok(t, c.Kube.CoreV1().Pods("default").Delete(t.Context(), "web-again", metav1.DeleteOptions{}))
	satisfied(t, s, tg, true)

	put(srv, "data", owned("ReplicaSet"), empty)
	var de *step.DrainError
	if _, err := s.Satisfied(t.Context(), tg); !errors.As(err, &de) || !strings.Contains(err.Error(), "default/data (its emptyDir would be lost)") {
		t.Errorf("a pod with an emptyDir: %v", err)
	}
	s.Options.DeleteEmptyDir = true
	refusals, s.Timeout = 1000, 100*time.Millisecond
	if err := s.Apply(t.Context(), tg); !errors.As(err, &de) || !strings.Contains(err.Error(), "default/data") || !strings.Contains(de.Hint(), "--skip-phases drain") {
		t.Errorf("a budget that never lets go: %v", err)
	}
	ok(t, step.Schedulable{Node: "n1", On: true}.Apply(t.Context(), tg))
	satisfied(t, cordon, tg, false)
}

func TestKeepAndPutBack(t *testing.T) {
	srv := clustertest.New(t)
	c := srv.Client(t)
	tg := &step.Target{Host: host.NewMemory(), Cluster: func(context.Context) (*cluster.Client, error) { return c, nil }}
	const at = "/api/v1/namespaces/kube-system/configmaps/a"
	cm := func(data clustertest.Object) clustertest.Object {
		return clustertest.Object{"apiVersion": "v1", "kind": "ConfigMap", "metadata": clustertest.Object{"name": "a", "namespace": "kube-system"}, "data": data}
	}
	srv.Put(at, cm(clustertest.Object{"x": "1"}))
	ref := func(name string) cluster.ObjectRef {
		return cluster.ObjectRef{APIVersion: "v1", Kind: "ConfigMap", Namespace: "kube-system", Name: name}
	}
	ok(t, step.KeepObjects{File: "/kept", Refs: []cluster.ObjectRef{ref("a")}}.Apply(t.Context(), tg))
	back := step.PutBack{File: "/kept"}
	satisfied(t, back, tg, true)
	srv.Put(at, cm(clustertest.Object{"x": "2", "y": "3"}))
	satisfied(t, back, tg, false)
	ok(t, back.Apply(t.Context(), tg))
	satisfied(t, back, tg, true)
	if data, _ := srv.Get(at)["data"].(clustertest.Object); len(data) != 1 || data["x"] != "1" {
		t.Errorf("it is %v", data)
	}
	satisfied(t, step.PutBack{File: "/none"}, tg, true)
}
