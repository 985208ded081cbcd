package release

import (
	"errors"
	"strings"
	"testing"
)

// TestKnobs: what each version knows, what it has lost, and what is a slip of the fingers.
func TestKnobs(t *testing.T) {
	gate := func(name string, on bool) func(*Release) error {
		return func(r *Release) error { return r.CheckGate(name, on) }
	}
	kubeadm := func(name string, on bool) func(*Release) error {
		return func(r *Release) error { return r.CheckKubeadmGate(name, on) }
	}
	flag := func(program, name string) func(*Release) error {
		return func(r *Release) error { return r.CheckFlag(program, name) }
	}
	for _, tc := range []struct {
		version string
		check   func(*Release) error
		want    string // "" for accepted
	}{
		// Facts section 3.3: in which minor flags ended.
		{"v1.10.6", flag(Kubelet, "cadvisor-port"), ""},
		{"v1.12.10", flag(Kubelet, "cadvisor-port"), "v1.12 removed it"},
		{"v1.14.10", flag(Kubelet, "allow-privileged"), ""},
		{"v1.15.12", flag(Kubelet, "allow-privileged"), "v1.15 removed it"},
		{"v1.13.12", flag(Kubelet, "experimental-fail-swap-on"), ""},
		{"v1.14.10", flag(Kubelet, "experimental-fail-swap-on"), "v1.14 removed it"},
		{"v1.23.17", flag(Kubelet, "network-plugin"), ""},
		{"v1.24.0", flag(Kubelet, "network-plugin"), "v1.24 removed it"},
		{"v1.24.17", flag(Kubelet, "cni-bin-dir"), "v1.24 removed it"},
		{"v1.26.15", flag(Kubelet, "container-runtime"), ""},
		{"v1.27.16", flag(Kubelet, "container-runtime"), "v1.27 removed it"},
		{"v1.34.4", flag(Kubelet, "pod-infra-container-image"), ""},
		{"v1.35.4", flag(Kubelet, "pod-infra-container-image"), "v1.35 removed it"},
		{"v1.25.16", flag(Kubelet, "log-dir"), ""},
		{"v1.26.15", flag(Kubelet, "log-dir"), "v1.26 removed it"},
		{"v1.30.14", flag(Kubelet, "fail-cgroupv1"), "exists since v1.31"},
		{"v1.34.4", flag(Kubelet, "node_ip"), ""},
		{"v1.34.4", flag(Kubelet, "node-iq"), "did you mean node-ip?"},
		{"v1.34.4", flag(Kubelet, "zzzzzzzzzzzz"), "no version from v1.10"},
		{"v1.20.15", flag("kube-apiserver", "insecure-port"), ""},
		{"v1.24.17", flag("kube-apiserver", "insecure-port"), "v1.24 removed it"},
		{"v1.24.17", flag("kube-controller-manager", "port"), "v1.24 removed it"},
		{"v1.34.4", flag("kube-apiserver", "audit-webhook-batch-max-size"), ""},
		{"v1.10.6", flag("kube-apiserver", "default-not-ready-toleration-seconds"), ""},
		{"v1.34.4", flag("etcd", "anything"), ""},

		{"v1.10.6", gate("MountPropagation", true), ""},
		{"v1.34.4", gate("MountPropagation", true), "removed it"},
		{"v1.26.0", gate("DynamicKubeletConfig", false), "v1.26 removed it"},
		{"v1.34.4", gate("AllAlpha", false), ""},
		{"v1.10.6", gate("InPlacePodVerticalScaling", true), "exists since v1.27"},
		{"v1.34.4", gate("InPlacePodVerticalscaling", true), "did you mean InPlacePodVerticalScaling?"},
		{"v1.34.4", gate("AnyVolumeDataSource", true), ""},
		{"v1.34.4", gate("AnyVolumeDataSource", false), "since v1.33 it is locked to true"},
		// Newer than what was read: a gate of a later minor may have been brought there; one of no minor has not.
		{"v1.36.9", gate("NoSuchThing", true), "no version from v1.10"},
		{"v1.38.0", gate("NoSuchThing", true), ""},

		{"v1.34.4", kubeadm("NodeLocalCRISocket", false), ""},
		{"v1.36.3", kubeadm("NodeLocalCRISocket", false), "since v1.36 it is locked to true"},
		{"v1.37.2", kubeadm("NodeLocalCRISocket", true), "v1.37 removed it"},
		{"v1.34.4", kubeadm("InPlacePodVerticalScaling", true), "no version from v1.10"},
	} {
		err := tc.check(find(t, tc.version, Options{AllowUnknown: true}))
		var ke *KnobError
		switch {
		case tc.want == "" && err != nil:
			t.Errorf("%s: %v", tc.version, err)
		case tc.want != "" && (!errors.As(err, &ke) || !strings.Contains(err.Error(), tc.want)):
			t.Errorf("%s: %v, want it to say %q", tc.version, err, tc.want)
		}
	}
}

// TestKnobsCoverTheCatalog: a minor that is added without reading its tree would have every gate refused.
func TestKnobsCoverTheCatalog(t *testing.T) {
	knobs, err := loadKnobs()
	if err != nil {
		t.Fatal(err)
	}
	c, err := loadCatalog()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range c.Minors {
		if _, ok := knobs.read[m.number]; !ok {
			t.Errorf("v%s is in the catalog, and its tree was not read: go run ./test/trees", m.Minor)
		}
	}
	if knobs.last != c.newest().number {
		t.Errorf("the knobs go to v1.%d, the catalog to v%s", knobs.last, c.newest().Minor)
	}
}

func TestBrokenKnobs(t *testing.T) {
	for _, text := range []string{"gate A", "gate A ten", "gate A 12-10", "gate A 10-12 maybe@11", "gate A 10-12 true@x"} {
		if _, err := parseKnobs(text + "\n"); err == nil {
			t.Errorf("%q passes", text)
		}
	}
}
