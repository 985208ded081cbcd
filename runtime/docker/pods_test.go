package docker

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The pods are found by the kubelet's own labels, and a pod goes with its containers, the sandbox last.
func TestPods(t *testing.T) {
	var removed []string
	r := fake(t, map[string]http.HandlerFunc{
		"GET /v1.52/containers/json": func(w http.ResponseWriter, req *http.Request) {
			list := []map[string]string{}
			switch q := req.URL.Query(); q.Get("all") + " " + q.Get("filters") {
			case `1 {"label":["io.kubernetes.docker.type=podsandbox"]}`:
				list = append(list, map[string]string{"Id": "sandbox1"}, map[string]string{"Id": "sandbox2"})
			case `1 {"label":["io.kubernetes.sandbox.id=sandbox1"]}`:
				list = append(list, map[string]string{"Id": "c1"}, map[string]string{"Id": "gone"})
			}
			answer(w, list)
		},
		"DELETE /v1.52/containers/{id}": func(w http.ResponseWriter, req *http.Request) {
			if q := req.URL.Query(); q.Get("force") != "1" || q.Get("v") != "1" {
				t.Errorf("removed with %s", req.URL.RawQuery)
			}
			if id := req.PathValue("id"); id != "gone" {
				removed = append(removed, id)
				w.WriteHeader(http.StatusNoContent)
				return
			}
			w.WriteHeader(http.StatusNotFound)
		},
	})
	pods, err := r.PodSandboxes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"sandbox1", "sandbox2"}, pods); diff != "" {
		t.Error(diff)
	}
	if err := r.RemovePodSandbox(t.Context(), "sandbox1"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"c1", "sandbox1"}, removed); diff != "" {
		t.Error(diff)
	}
}

// A pod is ended with the time that was given, its sandbox last; what has gone meanwhile, and what has ended, is no error.
func TestEndPod(t *testing.T) {
	var stopped []string
	r := fake(t, map[string]http.HandlerFunc{
		"GET /v1.52/containers/json": func(w http.ResponseWriter, req *http.Request) {
			list := []map[string]string{}
			switch req.URL.Query().Get("filters") {
			case `{"label":["io.kubernetes.docker.type=podsandbox","io.kubernetes.pod.namespace=kube-system","io.kubernetes.pod.name=etcd-cp1"]}`:
				list = append(list, map[string]string{"Id": "sandbox1"})
			case `{"label":["io.kubernetes.sandbox.id=sandbox1"]}`:
				list = append(list, map[string]string{"Id": "c1"}, map[string]string{"Id": "ended"}, map[string]string{"Id": "gone"})
			}
			answer(w, list)
		},
		"POST /v1.52/containers/{id}/stop": func(w http.ResponseWriter, req *http.Request) {
			switch id := req.PathValue("id"); id {
			case "gone":
				w.WriteHeader(http.StatusNotFound)
			case "ended":
				w.WriteHeader(http.StatusNotModified)
			default:
				stopped = append(stopped, id+" "+req.URL.Query().Get("t"))
				w.WriteHeader(http.StatusNoContent)
			}
		},
	})
	for _, pod := range []string{"etcd-cp1", "nobody"} {
		if err := r.EndPod(t.Context(), "kube-system", pod, 5*time.Second); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]string{"c1 5", "sandbox1 5"}, stopped); diff != "" {
		t.Error(diff)
	}
}

func TestPodsReportDockersError(t *testing.T) {
	busy := func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusConflict)
		answer(w, map[string]string{"message": "device or resource busy"})
	}
	r := fake(t, map[string]http.HandlerFunc{
		"GET /v1.52/containers/json":    func(w http.ResponseWriter, _ *http.Request) { answer(w, []string{}) },
		"DELETE /v1.52/containers/{id}": busy,
	})
	if err := r.RemovePodSandbox(t.Context(), "0123456789abcdef"); err == nil || !strings.Contains(err.Error(), "0123456789ab: device or resource busy") {
		t.Errorf("error %v", err)
	}
}
