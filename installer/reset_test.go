package installer_test

import (
	"context"
	"errors"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kubebundle/installer"
	"kubebundle/installer/config"
	"kubebundle/installer/host"
	"kubebundle/installer/step"
)

func TestResetLeadsBack(t *testing.T) {
	m := installed(t)
	m.AddMount("/var/lib/kubelet/pods/1/volumes/x")
	m.AddMount("/var/lib/kubelet/pods/1/volumes/x/deeper")
	m.AddMount("/home")
	reset(t, m)
	if d := cmp.Diff(stranger(t).Snapshot(), m.Snapshot()); d != "" {
		t.Errorf("(-before +after):\n%s", d)
	}
	if mounts, err := m.Mounts(); err != nil || !slices.Equal(mounts, []string{"/home"}) {
		t.Errorf("mounts %v %v", mounts, err)
	}
	units := m.Units()
	if st := units["kubelet.service"]; st.Active || st.Enabled {
		t.Errorf("kubelet is %+v", st)
	}
	log := m.UnitLog()
	if log[len(log)-1] != "restart containerd.service" {
		t.Errorf("containerd did not read its former configuration again: %q", log)
	}
	if !slices.Contains(log, "daemon-reload") {
		t.Errorf("systemd did not read its units again: %q", log)
	}
	reset(t, m) // again: nothing to do, no error
}

func TestResetDryRun(t *testing.T) {
	m := installed(t)
	before := m.Snapshot()
	rec := host.NewRecording(m)
	j, err := installer.OpenJournal(rec)
	if err != nil {
		t.Fatal(err)
	}
	var planned []string
	r := resetter(rec, j)
	r.Events = func(ev installer.Event) {
		if ev.State == installer.Planned {
			planned = append(planned, ev.Step)
		}
	}
	if _, err := r.Run(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(before, m.Snapshot()); d != "" || len(rec.Ops()) != 0 {
		t.Errorf("a dry run changed the host: %q\n%s", rec.Ops(), d)
	}
	for _, want := range []string{"stop kubelet.service", "restore /etc/runtime/config.toml", "remove /etc/kubernetes and everything below", "restart containerd.service"} {
		if !slices.Contains(planned, want) {
			t.Errorf("%q is not planned: %q", want, planned)
		}
	}
}

// TestResetWithoutJournal is a host that kubeadm installed; an upgrade of ours may have tended it, and a host without a journal is only the simpler one.
func TestResetWithoutJournal(t *testing.T) {
	for name, journal := range map[string]string{
		"none":     "",
		"tended":   `{"state":"begin","workflow":"certs renew"}` + "\n" + `{"state":"end"}` + "\n",
		"upgraded": `{"state":"begin","workflow":"upgrade node","version":"v1.35.4"}` + "\n" + `{"state":"end"}` + "\n",
		"renewed": `{"state":"begin","workflow":"certs renew"}` + "\n" +
			`{"state":"intent","step":"write","undo":[{"kind":"file","path":"/etc/kubernetes/admin.conf","existed":true,"mode":384,"backup":"/var/lib/kubebundle/backup/etc/kubernetes/admin.conf"}]}` + "\n" +
			`{"state":"done","step":"write"}` + "\n" + `{"state":"end"}` + "\n",
	} {
		t.Run(name, func(t *testing.T) {
			m := stranger(t)
			if name == "renewed" {
				if err := m.WriteFile("/var/lib/kubebundle/backup/etc/kubernetes/admin.conf", []byte("before"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if journal != "" {
				writeJournal(t, m, journal)
			}
			resetStranger(t, m)
		})
	}
}

func resetStranger(t *testing.T, m *host.Memory) {
	t.Helper()
	for _, p := range []string{
		"/etc/kubernetes/admin.conf", "/etc/kubernetes/super-admin.conf", "/etc/kubernetes/kubelet.conf", "/etc/kubernetes/manifests/kube-apiserver.yaml",
		"/etc/kubernetes/pki/ca.key", "/srv/etcd/member/wal", "/var/lib/kubelet/config.yaml", "/var/lib/cni/x", "/etc/kubernetes/tmp/x", "/etc/kubernetes/mine",
	} {
		if err := m.WriteFile(p, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	etcd := "kind: Pod\nspec:\n  volumes:\n  - name: etcd-certs\n    hostPath: {path: /etc/kubernetes/pki/etcd}\n  - name: etcd-data\n    hostPath: {path: /srv/etcd}\n"
	if err := m.WriteFile("/etc/kubernetes/manifests/etcd.yaml", []byte(etcd), 0o600); err != nil {
		t.Fatal(err)
	}
	m.AddUnit("kubelet.service", host.UnitState{Enabled: true, Active: true, Sub: "running"})
	reset(t, m)
	var left []string
	for p, what := range m.Snapshot() {
		if strings.HasPrefix(what, "file") && (strings.HasPrefix(p, "/etc/kubernetes") || strings.HasPrefix(p, "/var/lib") || strings.HasPrefix(p, "/srv")) {
			left = append(left, p)
		}
	}
	slices.Sort(left)
	if d := cmp.Diff([]string{"/etc/kubernetes/mine", "/etc/kubernetes/tmp/x"}, left); d != "" {
		t.Errorf("left (-want +got):\n%s", d)
	}
	if st := m.Units()["kubelet.service"]; st.Active || st.Enabled {
		t.Errorf("kubelet is %+v", st)
	}
}

// stubborn has pods that cannot be removed.
type stubborn struct{ noPods }

func (stubborn) PodSandboxes(context.Context) ([]string, error) { return []string{"a", "b"}, nil }

func TestResetGoesOn(t *testing.T) {
	m := installed(t)
	rec := host.NewRecording(m)
	rec.Before = func(op string) error {
		if op == "remove /etc/demo/link" {
			return errors.New("read-only file system")
		}
		return nil
	}
	j, err := installer.OpenJournal(rec)
	if err != nil {
		t.Fatal(err)
	}
	r := resetter(rec, j)
	r.Target.CRI = func(context.Context, string) (step.CRI, error) { return stubborn{}, nil }
	_, err = r.Run(t.Context(), false)
	var part *installer.PartialError
	if !errors.As(err, &part) {
		t.Fatalf("error %v", err)
	}
	for _, want := range []string{"no pod a", "no pod b", "read-only file system"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q: %v", want, err)
		}
	}
	if _, err := m.Lstat("/etc/kubernetes"); err == nil {
		t.Error("reset stopped at the first error")
	}
	if _, err := m.Lstat(installer.JournalPath); err != nil {
		t.Error("the journal is gone although something is left to do")
	}
	reset(t, m) // the cause is gone
	if d := cmp.Diff(stranger(t).Snapshot(), m.Snapshot()); d != "" {
		t.Errorf("(-before +after):\n%s", d)
	}
}

func TestResetRefusals(t *testing.T) {
	m := installed(t)
	m.FactsValue.UID = 1000
	j, err := installer.OpenJournal(m)
	if err != nil {
		t.Fatal(err)
	}
	var notRoot *installer.NotRootError
	if _, err := resetter(m, j).Run(t.Context(), false); !errors.As(err, &notRoot) {
		t.Errorf("error %v", err)
	}
	r := resetter(m, j)
	r.Config = &config.Reset{SkipPhases: []string{"cleanup"}}
	var unknown *installer.UnknownPhaseError
	if _, err := r.Run(t.Context(), false); !errors.As(err, &unknown) {
		t.Errorf("error %v", err)
	}
}

func TestResetKeepsWhatIsMounted(t *testing.T) {
	m := installed(t)
	rec := host.NewRecording(m)
	rec.Before = func(op string) error {
		if strings.HasPrefix(op, "unmount ") {
			return errors.New("busy")
		}
		return nil
	}
	m.AddMount("/var/lib/kubelet/pods/1/nfs")
	if err := m.WriteFile("/var/lib/kubelet/pods/1/nfs/thesis", []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	j, err := installer.OpenJournal(rec)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := resetter(rec, j).Run(t.Context(), false); err == nil || !strings.Contains(err.Error(), "still mounted") {
		t.Errorf("error %v", err)
	}
	if _, err := m.ReadFile("/var/lib/kubelet/pods/1/nfs/thesis"); err != nil {
		t.Errorf("reset deleted what was mounted: %v", err)
	}
}

// Reset finds the runtime in what the kubelet was given, whatever version it is of and whoever gave it.
func TestResetFindsTheRuntime(t *testing.T) {
	const (
		usual   = "unix:///run/containerd/containerd.sock"
		flags   = "/var/lib/kubelet/kubeadm-flags.env"
		dropIn  = "/etc/systemd/system/kubelet.service.d/20-kubebundle.conf"
		shim    = "unix:///var/run/dockershim.sock"
		another = "unix:///run/other.sock"
	)
	for name, c := range map[string]struct{ file, text, want string }{
		"nothing":                  {"/etc/other", "", usual},
		"1.34":                     {"/var/lib/kubelet/instance-config.yaml", "containerRuntimeEndpoint: unix:///run/other.sock\n", another},
		"1.24 to 1.33":             {flags, `KUBELET_KUBEADM_ARGS="--container-runtime-endpoint=unix:///run/other.sock --node-ip=10.0.0.1"`, another},
		"1.11 to 1.23, containerd": {flags, `KUBELET_KUBEADM_ARGS="--container-runtime=remote --container-runtime-endpoint=/run/other.sock --node-ip=10.0.0.1"`, another},
		"1.11 to 1.23, Docker":     {flags, `KUBELET_KUBEADM_ARGS="--network-plugin=cni --node-ip=10.0.0.1"`, shim},
		"1.10, containerd":         {dropIn, `Environment="KUBELET_EXTRA_ARGS=--container-runtime=remote --container-runtime-endpoint=/run/other.sock"`, another},
		"1.10, Docker":             {dropIn, `Environment="KUBELET_EXTRA_ARGS=--node-ip=10.0.0.1"`, shim},
		"configuration":            {"/var/lib/kubelet/config.yaml", "containerRuntimeEndpoint: \"unix:///run/other.sock\"\n", another},
	} {
		m := stranger(t)
		for _, f := range []string{c.file, "/run/containerd/containerd.sock", "/run/other.sock", "/var/run/docker.sock"} {
			if err := errors.Join(m.MkdirAll(path.Dir(f), 0o755), m.WriteFile(f, []byte(c.text), 0o644)); err != nil {
				t.Fatal(err)
			}
		}
		j, err := installer.OpenJournal(m)
		if err != nil {
			t.Fatal(err)
		}
		r := resetter(m, j)
		var got string
		r.Target.CRI = func(ctx context.Context, socket string) (step.CRI, error) {
			got = socket
			return openNoPods(ctx, socket)
		}
		if _, err := r.Run(t.Context(), false); err != nil {
			t.Fatal(err)
		}
		if got != c.want {
			t.Errorf("%s: reset asks %s, want %s", name, got, c.want)
		}
	}
}
