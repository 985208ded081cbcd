package installer_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"kubebundle/installer"
	"kubebundle/installer/cluster"
	"kubebundle/installer/cluster/clustertest"
	"kubebundle/installer/host"
	"kubebundle/installer/phase"
	"kubebundle/installer/step"
)

const pending = "/var/lib/kubebundle/upgrade/pending.json"

// broken is a workflow that writes the note of an upgrade, replaces a file and then cannot go on.
func broken(err error) []phase.Phase {
	note := `{"from":"v1.34.4","to":"v1.35.4","node":"n1","schedulable":true,"files":[{"path":"/usr/bin/kubelet","existed":true,"mode":493},{"path":"/etc/new","existed":false}]}`
	return []phase.Phase{
		fake{name: "backup", steps: []step.Step{
			step.Copies{List: []step.CopiedFile{{From: "/usr/bin/kubelet", To: "/var/lib/kubebundle/upgrade/before/usr/bin/kubelet", Mode: 0o755}}},
			step.File{Path: pending, Mode: 0o600, Data: []byte(note)},
		}},
		fake{name: "kubelet-config", err: err, steps: []step.Step{
			step.Tended{Step: step.File{Path: "/usr/bin/kubelet", Mode: 0o755, Data: []byte("new")}},
			step.Tended{Step: step.File{Path: "/etc/new", Mode: 0o644, Data: []byte("new")}},
			step.Exec{What: "fail", Command: host.Command{Name: "false"}},
		}},
	}
}

// upgradedNode is a worker of a cluster that answers; the kubelet is healthy if it is the old one.
func upgradedNode(t *testing.T) (*host.Memory, *installer.Engine) {
	t.Helper()
	m := host.NewMemory()
	for p, text := range map[string]string{"/usr/bin/kubelet": "old", "/etc/systemd/system/kubelet.service": unitText} {
		if err := m.WriteFile(p, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	m.OnRun = func(host.Command) ([]byte, error) { return nil, errors.New("exit status 1") }
	srv := clustertest.New(t)
	srv.Put("/api/v1/nodes/n1", clustertest.Object{
		"apiVersion": "v1", "kind": "Node", "metadata": clustertest.Object{"name": "n1"}, "spec": clustertest.Object{"unschedulable": true},
		"status": clustertest.Object{"conditions": []any{clustertest.Object{"type": "Ready", "status": "True"}}},
	})
	e := engine(t, m, nil)
	e.Workflow, e.Version = "upgrade node", "v1.35.4"
	c := srv.Client(t)
	e.Target.Cluster = func(context.Context) (*cluster.Client, error) { return c, nil }
	e.Target.Get = func(context.Context, string) (int, []byte, error) {
		if data, err := m.ReadFile("/usr/bin/kubelet"); err != nil || string(data) != "old" {
			return http.StatusServiceUnavailable, nil, err
		}
		return http.StatusOK, []byte("ok"), nil
	}
	return m, e
}

func TestFailedUpgradeReturnsByItself(t *testing.T) {
	m, e := upgradedNode(t)
	_, err := e.RunUpgrade(t.Context(), broken(nil), &phase.State{})
	var back *installer.RolledBackError
	var part *installer.PartialError
	if !errors.As(err, &back) || errors.As(err, &part) || !strings.Contains(err.Error(), "phase kubelet-config: fail") || !strings.Contains(err.Error(), "Kubernetes v1.34.4 serves again") {
		t.Fatalf("it says %v", err)
	}
	if data, err := m.ReadFile("/usr/bin/kubelet"); err != nil || string(data) != "old" {
		t.Errorf("the kubelet is %q, %v", data, err)
	}
	for _, p := range []string{"/etc/new", pending} {
		if _, err := m.Stat(p); err == nil {
			t.Errorf("%s is still there", p)
		}
	}
	j, err := installer.OpenJournal(m)
	if err != nil {
		t.Fatal(err)
	}
	if name, version, ended := j.Workflow(); name != "upgrade rollback" || version != "v1.34.4" || !ended {
		t.Errorf("the journal says %s %s %v", name, version, ended)
	}
}

func TestUpgradeThatCannotReturnIsPartial(t *testing.T) {
	m, e := upgradedNode(t)
	m.OnUnit = func(op, _ string) error {
		if op == "restart" {
			return errors.New("the unit does not start")
		}
		return nil
	}
	_, err := e.RunUpgrade(t.Context(), broken(nil), &phase.State{})
	var part *installer.PartialError
	if !errors.As(err, &part) || !strings.Contains(err.Error(), "fail") || !strings.Contains(err.Error(), "and the way back failed: ") || !strings.Contains(installer.Hint(err), "run the same command again") {
		t.Fatalf("it says %v", err)
	}
	if _, err := m.Stat(pending); err != nil {
		t.Error("the note is gone, so nobody can go on")
	}
}

func TestUpgradeThatFailsEarlyHasChangedNothing(t *testing.T) {
	m, e := upgradedNode(t)
	_, err := e.RunUpgrade(t.Context(), []phase.Phase{
		fake{name: "stage-binaries", steps: []step.Step{step.Dir{Path: "/var/lib/kubebundle/upgrade", Mode: 0o700}, step.Exec{What: "fail", Command: host.Command{Name: "false"}}}},
	}, &phase.State{})
	var part *installer.PartialError
	if err == nil || errors.As(err, &part) || !strings.Contains(err.Error(), "phase stage-binaries: fail") {
		t.Errorf("it says %v", err)
	}
	if data, err := m.ReadFile("/usr/bin/kubelet"); err != nil || string(data) != "old" {
		t.Errorf("the kubelet is %q, %v", data, err)
	}
}

// TestInterruptedUpgradeStaysWhereItIs: who presses Ctrl-C decides himself whether to go on or back.
func TestInterruptedUpgradeStaysWhereItIs(t *testing.T) {
	m, e := upgradedNode(t)
	ctx, cancel := context.WithCancel(t.Context())
	m.OnRun = func(host.Command) ([]byte, error) {
		cancel()
		return nil, ctx.Err()
	}
	_, err := e.RunUpgrade(ctx, broken(nil), &phase.State{})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("it says %v", err)
	}
	if _, err := m.Stat(pending); err != nil {
		t.Error("the note is gone")
	}
	if err := e.RunBack(t.Context(), &phase.State{}, "v1.34.4"); err != nil {
		t.Error(err)
	}
	if data, err := m.ReadFile("/usr/bin/kubelet"); err != nil || string(data) != "old" {
		t.Errorf("the kubelet is %q, %v", data, err)
	}
}
