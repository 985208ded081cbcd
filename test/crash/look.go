package crash

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"kubebundle/installer"
	"kubebundle/test/e2e/suite"
	"kubebundle/test/lab/clusters"
	"kubebundle/test/lab/hosts"
)

// alive is what a running node changes by itself.
var alive = append([]string{
	"/etc/machine-id", "/var/lib/dbus", "/var/lib/etcd", "/var/lib/cni", "/var/lib/kubelet/pods", "/var/lib/kubelet/pki", "/var/lib/kubelet/cpu_manager_state",
	"/var/lib/kubelet/memory_manager_state", "/var/lib/kubelet/dra_manager_state", "/var/lib/kubelet/device-plugins", "/var/lib/kubelet/plugins_registry",
	"/var/lib/kubelet/plugins", "/var/lib/kubelet/checkpoints", "/var/lib/kubelet/actuated_pods_state", "/var/lib/kubelet/allocated_pods_state",
	installer.JournalPath,                // is compared by what it says
	"/var/lib/kubebundle/upgrade/before", // a run that was killed after the upgrade was done finds the new version there
}, suite.Volatile...)

// look describes a host: every file, what systemd starts, images, routes, and what reset would take back. Two hosts on which the same was done look the same.
func look(t *testing.T, h *hosts.Host) map[string]string {
	t.Helper()
	out := map[string]string{}
	files, err := h.Snapshot(alive...)
	if err != nil {
		t.Fatal(err)
	}
	for p, text := range files {
		if strings.Contains(text, " bytes ") { // a file
			mode, _, _ := strings.Cut(text, " bytes ")
			data, err := os.ReadFile(filepath.Join(h.Root(), p))
			if os.IsNotExist(err) {
				continue // the host lives on meanwhile
			}
			if err != nil {
				t.Fatal(err)
			}
			if len(data) < 1<<20 && !bytes.Contains(data, []byte{0}) {
				text = mode[:strings.LastIndexByte(mode, ' ')] + "\n" + shape(h, string(data))
			}
		}
		out["file "+p] = anywhere(h, text)
	}
	images := "ctr -n k8s.io images ls | awk '{print $1, $3}' | grep -v '^import-' | sort"
	if h.Runtime.HasDocker() {
		images = "docker images --format '{{.Repository}}:{{.Tag}} {{.ID}}' | sort"
	}
	for what, cmd := range map[string]string{
		"enabled units": "systemctl list-unit-files --no-legend --state=enabled | awk '{print $1}' | sort",
		"active units":  "systemctl list-units --no-legend --plain --state=active 'kube*' 'containerd*' 'docker*' | grep -v ^kubepods | awk '{print $1, $3}' | sort",
		"failed units":  "systemctl list-units --no-legend --plain --state=failed 'kube*' 'containerd*' 'docker*'",
		"images":        images,
		"service route": "ip route show 10.96.0.0/12",
	} {
		text, err := h.Output(t.Context(), "sh", "-c", cmd)
		if err != nil {
			t.Fatal(err)
		}
		out[what] = anywhere(h, text)
	}
	maps.Copy(out, records(t, h))
	return out
}

// records is what the journal would have reset take back. Images are in as many records as runs have loaded some.
func records(t *testing.T, h *hosts.Host) map[string]string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(h.Root(), installer.JournalPath))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	images := map[string]bool{}
	for line := range bytes.Lines(data) {
		if !bytes.HasSuffix(line, []byte("\n")) {
			break // torn; a run that has nothing to do writes nothing after it
		}
		var l installer.Line
		if err := json.Unmarshal(line, &l); err != nil {
			t.Errorf("the journal of %s has a damaged line %q: %v", h.Name, line, err)
		}
		for _, r := range l.Undo {
			if len(r.Refs) > 0 {
				for _, ref := range r.Refs {
					images[ref] = true
				}
				continue
			}
			text, err := json.Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			out["record "+anywhere(h, r.Key())] = anywhere(h, string(text))
		}
	}
	out["record images"] = strings.Join(slices.Sorted(maps.Keys(images)), " ")
	return out
}

// transient kinds are made and unmade by a living cluster, or named by chance.
var transient = regexp.MustCompile(`^(events|leases|endpoints|endpointslices|pods|nodes|replicasets|controllerrevisions|componentstatuses|certificatesigningrequests|ipaddresses|csinodes|podtemplates)(\.|$)`)

var (
	chanceAddress = regexp.MustCompile(`10\.(9[6-9]|10\d|11[01])\.\d+\.\d+`)
	chanceUID     = regexp.MustCompile(`"uid":"[0-9a-f-]{36}"`) // of an owner
	chancePort    = regexp.MustCompile(`"nodePort":\d+`)
)

const tokenSecret = "object Secret kube-system/bootstrap-token-ID"

// lookAtCluster describes all objects of a cluster of one node, as look does a host.
func lookAtCluster(t *testing.T, c *clusters.Cluster) map[string]string {
	t.Helper()
	h := c.Hosts[0]
	kubectl := func(args ...string) string {
		text, err := c.Kubectl(t.Context(), args...)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	kinds := slices.DeleteFunc(strings.Fields(kubectl("api-resources", "--verbs=list", "-o", "name")), transient.MatchString)
	var list struct{ Items []map[string]any }
	if err := json.Unmarshal([]byte(kubectl("get", "--all-namespaces", "-o", "json", strings.Join(kinds, ","))), &list); err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, o := range list.Items {
		meta, _ := o["metadata"].(map[string]any)
		name := shape(h, fmt.Sprintf("object %v %v/%v", o["kind"], meta["namespace"], meta["name"]))
		for _, k := range []string{"uid", "resourceVersion", "creationTimestamp", "managedFields", "generation", "selfLink"} {
			delete(meta, k)
		}
		delete(o, "status")
		if o["kind"] == "Secret" {
			hide(o)
		}
		text, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		s := chanceAddress.ReplaceAllStringFunc(shape(h, string(text)), func(ip string) string {
			if ip == "10.96.0.1" || ip == "10.96.0.10" || ip == "10.96.0.0" {
				return ip
			}
			return "<service IP>"
		})
		s = chanceUID.ReplaceAllString(chancePort.ReplaceAllString(s, `"nodePort":0`), `"uid":""`)
		if strings.HasPrefix(name, tokenSecret) { // named by chance, so they are told by what they are for
			name = tokenSecret + " " + s
		}
		key := name
		for n := 2; out[key] != ""; n++ { // two tokens are a difference to one
			key = fmt.Sprintf("%s %d", name, n)
		}
		out[key] = s
	}
	maps.Copy(out, lookAtPods(t, c))
	return out
}

// hide leaves of a secret what is there, and of a token what it is for.
func hide(secret map[string]any) {
	data, _ := secret["data"].(map[string]any)
	for k := range data {
		if !strings.HasPrefix(k, "usage-") && k != "auth-extra-groups" && k != "description" {
			data[k] = "<something>"
		}
	}
}

// lookAtPods describes nodes and pods: what of them somebody decided.
func lookAtPods(t *testing.T, c *clusters.Cluster) map[string]string {
	t.Helper()
	h := c.Hosts[0]
	s := &suite.Suite{Env: c.Env, Cluster: c}
	out := map[string]string{}
	for _, p := range suite.Get[corev1.PodList](t, s, "pods", "--all-namespaces").Items {
		var images []string
		for _, ct := range p.Spec.Containers {
			images = append(images, ct.Image)
		}
		name := p.Name
		if p.GenerateName != "" {
			name = p.GenerateName
		}
		if hash := p.Labels["pod-template-hash"]; hash != "" {
			name = strings.ReplaceAll(name, hash, "HASH")
		}
		name = "pod " + p.Namespace + "/" + anywhere(h, name)
		for n := 2; out[name] != ""; n++ {
			name = fmt.Sprintf("%s %d", name, n)
		}
		out[name] = strings.Join(images, " ")
	}
	for _, n := range suite.Get[corev1.NodeList](t, s, "nodes").Items {
		out["node "+anywhere(h, n.Name)] = nodeText(h, n)
	}
	return out
}

func nodeText(h *hosts.Host, n corev1.Node) string {
	for k := range n.Annotations {
		if strings.HasPrefix(k, "flannel.alpha.coreos.com/backend-data") { // a MAC address
			delete(n.Annotations, k)
		}
	}
	text, err := json.Marshal(map[string]any{"labels": n.Labels, "annotations": n.Annotations, "taints": n.Spec.Taints, "cordoned": n.Spec.Unschedulable, "ready": suite.NodeReady(&n)})
	if err != nil {
		return err.Error()
	}
	return anywhere(h, string(text))
}

// same fails the test for every difference.
func same(t *testing.T, what string, undisturbed, killed map[string]string) {
	t.Helper()
	for _, k := range slices.Sorted(maps.Keys(undisturbed)) {
		switch is, ok := killed[k]; {
		case !ok:
			t.Errorf("%s: %s is missing; undisturbed it is\n%s", what, k, undisturbed[k])
		case is != undisturbed[k]:
			t.Errorf("%s: %s\nundisturbed: %s\nkilled:      %s", what, k, undisturbed[k], is)
		}
	}
	for _, k := range slices.Sorted(maps.Keys(killed)) {
		if _, ok := undisturbed[k]; !ok {
			t.Errorf("%s: %s is too much: %s", what, k, killed[k])
		}
	}
	for k := range killed {
		if strings.HasSuffix(path.Base(k), ".kubebundle") {
			t.Errorf("%s: a temporary file is left: %s", what, k)
		}
	}
}
