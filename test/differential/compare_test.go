package differential

import (
	"crypto/x509"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kubebundle/installer/pki"
)

func start() time.Time { return time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC) }

// at makes artefacts of files and objects, as both sides are read.
func at(t *testing.T, files map[string]string, objects map[string]object) artefacts {
	t.Helper()
	list := map[string]file{}
	for p, text := range files {
		list[p] = file{mode: 0o600, data: []byte(text)}
	}
	out, err := read(now{start()}, list, objects)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

const podPath = "/etc/kubernetes/manifests/etcd.yaml"

func pod(command, more string) string {
	return "apiVersion: v1\nkind: Pod\nmetadata: {name: etcd}\nspec:\n  containers:\n  - {name: etcd, command: [" + command + "]" + more + "}\n"
}

// TestCompareSeesMeaning: what means the same is no difference, what does not is one, wherever it stands.
func TestCompareSeesMeaning(t *testing.T) {
	configMap := func(key, text string) map[string]object {
		return map[string]object{"/x": {"kind": "ConfigMap", "metadata": object{"name": "x"}, "data": object{key: text}}}
	}
	rule := func(verbs ...any) map[string]object {
		return map[string]object{"/x": {"kind": "Role", "metadata": object{"name": "x"}, "rules": []any{object{"verbs": verbs}}}}
	}
	for name, c := range map[string]struct {
		kubeadm, ours artefacts
		want          []Difference
	}{
		"order of flags":   {at(t, map[string]string{podPath: pod("etcd, --a=1, --b=2", "")}, nil), at(t, map[string]string{podPath: pod("etcd, --b=2, --a=1", "")}, nil), nil},
		"empty resources":  {at(t, map[string]string{podPath: pod("etcd, --a=1", ", resources: {}")}, nil), at(t, map[string]string{podPath: pod("etcd, --a=1", "")}, nil), nil},
		"order of verbs":   {at(t, nil, rule("get", "list")), at(t, nil, rule("list", "get")), nil},
		"zero in a config": {at(t, nil, configMap("kubelet", "syncFrequency: 0s\nmaxPods: 3\n")), at(t, nil, configMap("kubelet", "maxPods: 3\n")), nil},
		"flag": {
			at(t, map[string]string{podPath: pod("etcd, --a=1", "")}, nil), at(t, map[string]string{podPath: pod("etcd, --a=2", "")}, nil),
			[]Difference{{"file " + podPath, "spec.containers[etcd].command[--a]", "1", "2"}},
		},
		"order of a repeated flag": {
			at(t, map[string]string{podPath: pod("etcd, --a=1, --a=2", "")}, nil), at(t, map[string]string{podPath: pod("etcd, --a=2, --a=1", "")}, nil),
			[]Difference{{"file " + podPath, "spec.containers[etcd].command[--a]", "1 2", "2 1"}},
		},
		"missing verb": {
			at(t, nil, rule("get", "list")), at(t, nil, rule("get")),
			[]Difference{{"Role x", "rules[0].verbs", "get,list", "get"}},
		},
		"false is not absent where the type tells": {
			at(t, nil, configMap("kubelet", "failSwapOn: false\n")), at(t, nil, configMap("kubelet", "maxPods: 0\n")),
			[]Difference{{"ConfigMap x", "data.kubelet.failSwapOn", "false", ""}},
		},
		"inside kubeadm-config": {
			at(t, nil, configMap("ClusterConfiguration", "dns: {}\nproxy: {disabled: true}\n")), at(t, nil, configMap("ClusterConfiguration", "proxy: {}\n")),
			[]Difference{{"ConfigMap x", "data.ClusterConfiguration.proxy.disabled", "true", ""}},
		},
		"missing file": {
			at(t, map[string]string{podPath: pod("etcd, --a=1", "")}, nil),
			artefacts{},
			[]Difference{{"file " + podPath, there, there, ""}},
		},
		"object too many": {artefacts{}, at(t, nil, rule("get")), []Difference{{"Role x", there, "", there}}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, compare(c.kubeadm, c.ours)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func bothUsages() []x509.ExtKeyUsage {
	return []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
}

// TestCompareTakesCertificatesApart: each thing that a certificate says is compared.
func TestCompareTakesCertificatesApart(t *testing.T) {
	ca, err := pki.NewCA(pki.Spec{CommonName: "kubernetes", NotBefore: start(), Algorithm: pki.ECDSAP256})
	if err != nil {
		t.Fatal(err)
	}
	base := pki.Spec{CommonName: "a", Organization: []string{"o"}, DNSNames: []string{"x", "y"}, NotBefore: start(), Algorithm: pki.ECDSAP256, Usages: bothUsages()}
	files := func(change func(s *pki.Spec)) artefacts {
		s := base
		change(&s)
		leaf, err := pki.NewLeaf(ca, s)
		if err != nil {
			t.Fatal(err)
		}
		return at(t, map[string]string{"/etc/kubernetes/pki/ca.crt": string(ca.CertPEM), "/etc/kubernetes/pki/a.crt": string(leaf.CertPEM), "/etc/kubernetes/pki/a.key": string(leaf.KeyPEM)}, nil)
	}
	before := files(func(*pki.Spec) {})
	for name, c := range map[string]struct {
		change func(s *pki.Spec)
		want   []string // paths
	}{
		"nothing":       {func(*pki.Spec) {}, nil},
		"order of SANs": {func(s *pki.Spec) { s.DNSNames = []string{"y", "x"} }, nil},
		"name":          {func(s *pki.Spec) { s.CommonName = "b" }, []string{"subject"}},
		"group":         {func(s *pki.Spec) { s.Organization = nil }, []string{"subject"}},
		"SAN":           {func(s *pki.Spec) { s.DNSNames = []string{"x"} }, []string{"dns"}},
		"usage":         {func(s *pki.Spec) { s.Usages = s.Usages[:1] }, []string{"extended usage"}},
		"validity":      {func(s *pki.Spec) { s.Validity = time.Hour }, []string{"not after"}},
		"algorithm":     {func(s *pki.Spec) { s.Algorithm = pki.RSA2048 }, []string{"key", "key", "pem"}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, d := range compare(before, files(c.change)) {
				got = append(got, d.Path)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// TestRows: a row allows what it names and nothing else, and one that was not needed is found.
func TestRows(t *testing.T) {
	d := Difference{Artefact: "file /a/b.crt", Path: "not after", Kubeadm: "8760h", Ours: "8759h"}
	for name, c := range map[string]struct {
		row  Row
		want bool
	}{
		"exact":            {Row{Artefact: "file /a/b.crt", Path: "not after", Kubeadm: "8760h", Ours: "8759h"}, true},
		"patterns":         {Row{Artefact: "file /a/*", Path: "*after", Kubeadm: "*", Ours: "*59h"}, true},
		"other artefact":   {Row{Artefact: "file /b/*", Path: "*", Kubeadm: "*", Ours: "*"}, false},
		"other value":      {Row{Artefact: "file /a/*", Path: "*", Kubeadm: "*", Ours: "8758h"}, false},
		"must be absent":   {Row{Artefact: "file /a/*", Path: "*", Kubeadm: "*"}, false},
		"other scenario":   {Row{Scenario: "options/*", Artefact: "file /a/*", Path: "*", Kubeadm: "*", Ours: "*"}, false},
		"this scenario":    {Row{Scenario: "plain/*", Artefact: "file /a/*", Path: "*", Kubeadm: "*", Ours: "*"}, true},
		"pattern in order": {Row{Artefact: "file /a/*crt*b", Path: "*", Kubeadm: "*", Ours: "*"}, false},
	} {
		if got := c.row.matches("plain/end", d); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	for minor, want := range map[uint]bool{29: false, 30: true, 33: true, 34: false} {
		if got := (Row{From: 30, To: 33}).covers(minor); got != want {
			t.Errorf("1.%d: %v", minor, got)
		}
	}
	used := map[int]bool{}
	if left := unlisted(34, "plain/end", []Difference{d}, used); len(left) != 1 || len(used) != 0 {
		t.Errorf("an unlisted difference passed: %v %v", left, used)
	}
	all := 0
	for _, r := range Table() {
		if r.covers(34) {
			all++
		}
	}
	if got := len(stale(34, used)); got != all || all == 0 {
		t.Errorf("%d of %d unused rows were found", got, all)
	}
}

// TestTimes: a slow run gives the same times as a fast one, and five minutes count.
func TestTimes(t *testing.T) {
	n := now{time.Date(2026, 3, 4, 5, 6, 7, 890, time.UTC)}
	for _, late := range []time.Duration{0, time.Second, 4 * time.Minute} {
		for _, d := range []time.Duration{-5 * time.Minute, 0, time.Hour, 8760*time.Hour - 5*time.Minute} {
			if got := n.since(n.Add(d + late).Truncate(time.Second)); got != d.String() {
				t.Errorf("%s, %s late: %s", d, late, got)
			}
		}
	}
}
