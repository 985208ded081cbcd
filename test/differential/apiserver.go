package differential

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"k8s.io/client-go/kubernetes/scheme"
)

// object is the generic form of an API object.
type object = map[string]any

// apiServer keeps what it is sent. It validates nothing, knows nobody and believes everybody; but what it does not know how to do it
// refuses, and keeps that as a problem, so that nothing is lost unseen.
type apiServer struct {
	version string // v1.34.4

	mu       sync.Mutex
	objects  map[string]object // by path
	problems []string
}

func newAPIServer(version string) *apiServer {
	return &apiServer{version: version, objects: map[string]object{}}
}

// register does what a kubelet does when it comes up.
func (s *apiServer) register(node string) {
	obj, err := generic(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: node, Labels: map[string]string{corev1.LabelHostname: node}}})
	if err != nil {
		panic(err) // the type is in the scheme
	}
	s.put("/api/v1/nodes/"+node, obj)
}

func (s *apiServer) put(at string, obj object) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.objects[at] = obj
}

func (s *apiServer) get(at string) object {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.objects[at]
}

// all gives a copy of what is stored, and what went wrong.
func (s *apiServer) all() (objects map[string]object, problems []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.objects), slices.Clone(s.problems)
}

// copyFrom makes this server hold what another one holds.
func (s *apiServer) copyFrom(other *apiServer) {
	objects, _ := other.all()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.objects = objects
}

// ServeHTTP serves the API, and the health endpoints of every component.
func (s *apiServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch at := r.URL.Path; {
	case at == "/livez", at == "/readyz", at == "/healthz":
		_, _ = w.Write([]byte("ok"))
	case at == "/version":
		f := strings.Split(strings.TrimPrefix(s.version, "v"), ".")
		answer(w, http.StatusOK, object{"major": f[0], "minor": f[1], "gitVersion": s.version})
	case r.Method == http.MethodGet && s.objects[at] != nil:
		answer(w, http.StatusOK, s.objects[at])
	case r.Method == http.MethodGet && isCollection(at):
		s.list(w, r)
	case r.Method == http.MethodPost && isCollection(at):
		s.create(w, r)
	case r.Method == http.MethodPut, r.Method == http.MethodPatch, r.Method == http.MethodGet:
		if s.objects[at] == nil {
			refuse(w, http.StatusNotFound, "NotFound")
			return
		}
		s.change(w, r)
	default:
		s.problem(w, r, "not played here")
	}
}

func (s *apiServer) problem(w http.ResponseWriter, r *http.Request, what string) {
	s.problems = append(s.problems, fmt.Sprintf("%s %s: %s", r.Method, r.URL.Path, what))
	refuse(w, http.StatusInternalServerError, "InternalError")
}

// list knows the two ways in which lists are narrowed here: by label, and by the type of a Secret.
func (s *apiServer) list(w http.ResponseWriter, r *http.Request) {
	selector, err := labels.Parse(r.URL.Query().Get("labelSelector"))
	if err != nil {
		s.problem(w, r, err.Error())
		return
	}
	byType, typed := strings.CutPrefix(r.URL.Query().Get("fieldSelector"), "type=")
	group, plural := apiVersion(r.URL.Path)
	kind, known := map[string]string{"deployments": "DeploymentList", "secrets": "SecretList", "nodes": "NodeList", "pods": "PodList"}[plural]
	if !known || !typed && r.URL.Query().Get("fieldSelector") != "" {
		s.problem(w, r, "a list with "+r.URL.RawQuery)
		return
	}
	items := []object{}
	for _, at := range slices.Sorted(maps.Keys(s.objects)) {
		obj := s.objects[at]
		if path.Dir(at) == r.URL.Path && selector.Matches(labelsOf(obj)) && (!typed || obj["type"] == byType) {
			items = append(items, obj)
		}
	}
	answer(w, http.StatusOK, object{"kind": kind, "apiVersion": group, "metadata": object{}, "items": items})
}

func labelsOf(obj object) labels.Set {
	m, _ := obj["metadata"].(object)
	list, _ := m["labels"].(object)
	out := labels.Set{}
	for k, v := range list {
		out[k] = fmt.Sprint(v)
	}
	return out
}

func (s *apiServer) create(w http.ResponseWriter, r *http.Request) {
	obj, err := decode(r.Body)
	if err != nil {
		s.problem(w, r, err.Error())
		return
	}
	at := r.URL.Path + "/" + name(obj)
	if s.objects[at] != nil {
		refuse(w, http.StatusConflict, "AlreadyExists")
		return
	}
	s.objects[at] = obj
	answer(w, http.StatusCreated, obj)
}

func (s *apiServer) change(w http.ResponseWriter, r *http.Request) {
	at := r.URL.Path
	if r.Method == http.MethodPut {
		obj, err := decode(r.Body)
		if err != nil {
			s.problem(w, r, err.Error())
			return
		}
		s.objects[at] = obj
		answer(w, http.StatusOK, obj)
		return
	}
	obj, err := patched(s.objects[at], r)
	if err != nil {
		s.problem(w, r, err.Error())
		return
	}
	s.objects[at] = obj
	answer(w, http.StatusOK, obj)
}

// patched knows the one patch that kubeadm sends: a strategic merge of a node.
func patched(live object, r *http.Request) (object, error) {
	patch, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	if t := r.Header.Get("Content-Type"); t != "application/strategic-merge-patch+json" || live["kind"] != "Node" {
		return nil, fmt.Errorf("a patch of type %s for a %v", t, live["kind"])
	}
	before, err := json.Marshal(live)
	if err != nil {
		return nil, err
	}
	after, err := strategicpatch.StrategicMergePatch(before, patch, corev1.Node{})
	if err != nil {
		return nil, err
	}
	return decode(bytes.NewReader(after))
}

// decode reads what a client sends, JSON or protobuf.
func decode(body io.Reader) (object, error) {
	data, err := io.ReadAll(body)
	if err != nil {
		return nil, err
	}
	obj, _, err := scheme.Codecs.UniversalDeserializer().Decode(data, nil, nil)
	if err != nil {
		return nil, err
	}
	return generic(obj)
}

// generic brings an object into the form that the API's own type of this day gives it. That type is in the scheme's preferred form for
// both sides, so a zero and a missing field are one where they mean the same.
func generic(obj runtime.Object) (object, error) {
	gvks, _, err := scheme.Scheme.ObjectKinds(obj)
	if err != nil {
		return nil, err
	}
	obj.GetObjectKind().SetGroupVersionKind(gvks[0])
	raw, err := json.Marshal(obj)
	if err != nil {
		return nil, err
	}
	var out object
	if err := json.Unmarshal(raw, &out); err != nil {
		return nil, err
	}
	delete(out, "status")
	setDefaults(out)
	return out, nil
}

// setDefaults does the server's part where the two sides rely on it differently: who is bound without a group is of RBAC's own, and
// resource versions are the server's (pkg/apis/rbac/v1/defaults.go of Kubernetes).
func setDefaults(obj object) {
	if m, ok := obj["metadata"].(object); ok {
		delete(m, "resourceVersion")
	}
	if kind, _ := obj["kind"].(string); !strings.HasSuffix(kind, "RoleBinding") {
		return
	}
	subjects, _ := obj["subjects"].([]any)
	for _, s := range subjects {
		m, ok := s.(object)
		if ok && m["apiGroup"] == nil && (m["kind"] == "User" || m["kind"] == "Group") {
			m["apiGroup"] = "rbac.authorization.k8s.io"
		}
	}
}

func name(obj object) string {
	m, _ := obj["metadata"].(object)
	n, _ := m["name"].(string)
	return n
}

// isCollection tells /api/v1/nodes from /api/v1/nodes/n1.
func isCollection(at string) bool {
	p := afterGroup(at)
	return len(p) == 1 || len(p) == 3 && p[0] == "namespaces"
}

func afterGroup(at string) []string {
	p := strings.Split(strings.Trim(at, "/"), "/")
	switch {
	case p[0] == "api" && len(p) > 2:
		return p[2:]
	case p[0] == "apis" && len(p) > 3:
		return p[3:]
	default:
		return nil
	}
}

// apiVersion gives the group and version of a collection's path, and the plural of its kind.
func apiVersion(at string) (groupVersion, plural string) {
	p := strings.Split(strings.Trim(at, "/"), "/")
	if p[0] == "api" {
		return p[1], p[len(p)-1]
	}
	return p[1] + "/" + p[2], p[len(p)-1]
}

func answer(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(v)
}

func refuse(w http.ResponseWriter, code int, reason string) {
	answer(w, code, object{"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": reason})
}
