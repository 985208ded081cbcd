// Package clustertest has an API server for tests: it stores objects of any kind, with resource versions, conflicts and field
// selectors on type, and speaks TLS. It validates nothing and grants everything; what a real server does beyond that (defaults, errors)
// a test adds with Default and Fail. Flows that depend on a server's own behaviour are tested against a real one.
package clustertest

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"kubebundle/installer/cluster"
)

// Object is the generic form of an API object.
type Object = map[string]any

// Server is an API server in memory.
type Server struct {
	*httptest.Server

	// Default, if set, changes an object before it is stored, as defaulting and admission do.
	Default func(obj Object)
	// Fail, if set, may answer a request with an HTTP status and a reason ("Forbidden") instead of serving it.
	Fail func(r *http.Request) (code int, reason string)
	// Minor is the minor version that the server says it has; 34 unless changed.
	Minor int

	mu      sync.Mutex
	version int
	objects map[string]Object // by path
	kinds   []resource
	writes  []string
}

type resource struct {
	group, version, plural, kind string
	namespaced                   bool
}

// New starts a server that ends with the test.
func New(t *testing.T) *Server {
	t.Helper()
	s := &Server{objects: map[string]Object{}, Minor: 34}
	s.Server = httptest.NewTLSServer(s)
	t.Cleanup(s.Close)
	return s
}

// CAPEM is the server's certificate, which is its own CA.
func (s *Server) CAPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
}

// Kubeconfig gives a kubeconfig of the server.
func (s *Server) Kubeconfig() []byte {
	return fmt.Appendf(nil, `{"apiVersion":"v1","kind":"Config","current-context":"t","contexts":[{"name":"t","context":{"cluster":"c","user":"u"}}],
"clusters":[{"name":"c","cluster":{"server":%q,"certificate-authority-data":%s}}],"users":[{"name":"u","user":{"token":"abcdef.0123456789abcdef"}}]}`,
		s.URL, mustJSON(s.CAPEM()))
}

// Client gives a client of the server.
func (s *Server) Client(t *testing.T) *cluster.Client {
	t.Helper()
	c, err := cluster.FromKubeconfig(s.Kubeconfig(), cluster.NewDialer())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Put stores an object at a path such as /api/v1/nodes/n1, as somebody else would.
func (s *Server) Put(at string, obj Object) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.store(at, obj)
}

// Get gives the object at a path, nil for none.
func (s *Server) Get(at string) Object {
	s.mu.Lock()
	defer s.mu.Unlock()
	return clone(s.objects[at])
}

// AddKind makes the server's discovery know a kind.
func (s *Server) AddKind(group, version, plural, kind string, namespaced bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kinds = append(s.kinds, resource{group, version, plural, kind, namespaced})
}

// Writes lists the requests that changed something, "PUT /api/v1/…".
func (s *Server) Writes() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.writes)
}

// ServeHTTP serves the API.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.Fail != nil {
		if code, reason := s.Fail(r); code != 0 {
			fail(w, code, reason)
			return
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case r.URL.Path == "/livez", r.URL.Path == "/healthz", r.URL.Path == "/readyz":
		_, _ = w.Write([]byte("ok"))
	case r.URL.Path == "/version":
		answer(w, http.StatusOK, Object{"major": "1", "minor": strconv.Itoa(s.Minor), "gitVersion": fmt.Sprintf("v1.%d.0", s.Minor)})
	case s.discover(w, r.URL.Path):
	case r.Method == http.MethodGet:
		s.get(w, r)
	case r.Method == http.MethodPost:
		s.create(w, r)
	case r.Method == http.MethodPut:
		s.update(w, r)
	case r.Method == http.MethodDelete:
		s.remove(w, r)
	default:
		fail(w, http.StatusMethodNotAllowed, "MethodNotAllowed")
	}
}

func (s *Server) get(w http.ResponseWriter, r *http.Request) {
	if obj, ok := s.objects[r.URL.Path]; ok {
		answer(w, http.StatusOK, obj)
		return
	}
	if !collection(r.URL.Path) {
		fail(w, http.StatusNotFound, "NotFound")
		return
	}
	items, kind := []Object{}, "List"
	for _, at := range slices.Sorted(keys(s.objects)) {
		if listed(r.URL.Path, at) && selected(s.objects[at], r.URL.Query().Get("fieldSelector")) {
			items = append(items, s.objects[at])
			if k, ok := s.objects[at]["kind"].(string); ok {
				kind = k + "List"
			}
		}
	}
	answer(w, http.StatusOK, Object{"kind": kind, "apiVersion": version(r.URL.Path), "metadata": Object{}, "items": items})
}

// listed reports whether an object at a path is in a collection: that of its namespace, or of all namespaces.
func listed(collection, at string) bool {
	base, plural := path.Split(collection)
	rest, ok := strings.CutPrefix(at, base+"namespaces/")
	parts := strings.Split(rest, "/")
	return path.Dir(at) == collection || ok && len(parts) == 3 && parts[1] == plural
}

// version gives the apiVersion of a path.
func version(at string) string {
	parts := strings.Split(strings.Trim(at, "/"), "/")
	if parts[0] == "api" {
		return parts[1]
	}
	return parts[1] + "/" + parts[2]
}

func selected(obj Object, selector string) bool {
	want, ok := strings.CutPrefix(selector, "type=")
	return !ok || obj["type"] == want
}

func (s *Server) create(w http.ResponseWriter, r *http.Request) {
	obj, ok := body(w, r)
	if !ok {
		return
	}
	name, _ := meta(obj)["name"].(string)
	if name == "" {
		fail(w, http.StatusUnprocessableEntity, "Invalid")
		return
	}
	at := r.URL.Path + "/" + name
	if _, exists := s.objects[at]; exists {
		fail(w, http.StatusConflict, "AlreadyExists")
		return
	}
	s.writes = append(s.writes, "POST "+at)
	answer(w, http.StatusCreated, s.store(at, obj))
}

func (s *Server) update(w http.ResponseWriter, r *http.Request) {
	obj, ok := body(w, r)
	if !ok {
		return
	}
	live, exists := s.objects[r.URL.Path]
	if !exists {
		fail(w, http.StatusNotFound, "NotFound")
		return
	}
	if v, _ := meta(obj)["resourceVersion"].(string); v != "" && v != meta(live)["resourceVersion"] {
		fail(w, http.StatusConflict, "Conflict")
		return
	}
	s.writes = append(s.writes, "PUT "+r.URL.Path)
	answer(w, http.StatusOK, s.store(r.URL.Path, obj))
}

func (s *Server) remove(w http.ResponseWriter, r *http.Request) {
	if _, ok := s.objects[r.URL.Path]; !ok {
		fail(w, http.StatusNotFound, "NotFound")
		return
	}
	s.writes = append(s.writes, "DELETE "+r.URL.Path)
	delete(s.objects, r.URL.Path)
	answer(w, http.StatusOK, Object{"kind": "Status", "apiVersion": "v1", "status": "Success"})
}

// store gives an object a new resource version if it differs from the stored one.
func (s *Server) store(at string, obj Object) Object {
	obj = clone(obj)
	if s.Default != nil {
		s.Default(obj)
	}
	m := meta(obj)
	if live, ok := s.objects[at]; ok {
		m["resourceVersion"], m["uid"] = meta(live)["resourceVersion"], meta(live)["uid"]
		if reflect.DeepEqual(live, obj) {
			return live
		}
	}
	s.version++
	m["resourceVersion"] = strconv.Itoa(s.version)
	if m["uid"] == nil {
		m["uid"] = "uid-" + strconv.Itoa(s.version)
	}
	s.objects[at] = obj
	return obj
}

// discover serves the unaggregated discovery that every server since v1.10 has.
func (s *Server) discover(w http.ResponseWriter, at string) bool {
	switch parts := strings.Split(strings.Trim(at, "/"), "/"); {
	case at == "/api":
		answer(w, http.StatusOK, Object{"kind": "APIVersions", "versions": []string{"v1"}})
	case at == "/apis":
		groups := []Object{}
		for _, k := range s.kinds {
			v := Object{"groupVersion": k.group + "/" + k.version, "version": k.version}
			groups = append(groups, Object{"name": k.group, "versions": []Object{v}, "preferredVersion": v})
		}
		answer(w, http.StatusOK, Object{"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
	case at == "/api/v1":
		answer(w, http.StatusOK, Object{"kind": "APIResourceList", "groupVersion": "v1", "resources": []Object{}})
	case parts[0] == "apis" && len(parts) == 3:
		list := []Object{}
		for _, k := range s.kinds {
			if k.group == parts[1] && k.version == parts[2] {
				list = append(list, Object{"name": k.plural, "kind": k.kind, "namespaced": k.namespaced, "verbs": []string{"get", "create", "update"}})
			}
		}
		answer(w, http.StatusOK, Object{"kind": "APIResourceList", "groupVersion": parts[1] + "/" + parts[2], "resources": list})
	default:
		return false
	}
	return true
}

// collection tells /api/v1/nodes from /api/v1/nodes/n1.
func collection(at string) bool {
	parts := strings.Split(strings.Trim(at, "/"), "/")
	if parts[0] == "api" {
		parts = parts[2:]
	} else {
		parts = parts[3:]
	}
	return len(parts) == 1 || (parts[0] == "namespaces" && len(parts) == 3)
}

func keys(m map[string]Object) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func meta(obj Object) Object {
	m, ok := obj["metadata"].(Object)
	if !ok {
		m = Object{}
		obj["metadata"] = m
	}
	return m
}

func body(w http.ResponseWriter, r *http.Request) (Object, bool) {
	var obj Object
	if err := json.NewDecoder(r.Body).Decode(&obj); err != nil {
		fail(w, http.StatusBadRequest, "BadRequest")
		return nil, false
	}
	return obj, true
}

func clone(obj Object) Object {
	if obj == nil {
		return nil
	}
	var out Object
	if err := json.Unmarshal(mustJSON(obj), &out); err != nil {
		panic(err)
	}
	return out
}

func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

func answer(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = w.Write(mustJSON(v))
}

func fail(w http.ResponseWriter, code int, reason string) {
	answer(w, code, Object{"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": "test: " + reason})
}
