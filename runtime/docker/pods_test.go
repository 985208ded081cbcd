package docker

import (
	"net/http"
	"strings"
	"testing"

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
