package installer

import (
	"context"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"time"

	"kubebundle/installer/config"
	"kubebundle/installer/host"
	"kubebundle/installer/phase"
	"kubebundle/installer/step"
	"kubebundle/manifests"
	"kubebundle/runtime/docker"
	"kubebundle/runtime/open"
)

// Reset takes a node back. It never stops at the first error.
type Reset struct {
	Config  *config.Reset
	Target  *step.Target
	Journal *Journal
	Events  func(Event)
	// Only, if not empty, are the only phases to run.
	Only []string
	// Images also removes the images that init or join loaded. The default keeps them, as kubeadm does.
	Images bool
}

// resetPart is a phase of reset. Its steps are looked up when it is due.
type resetPart struct {
	name  string
	steps func(ctx context.Context) ([]step.Step, error)
}

// parts is the workflow. kubeadm has preflight, remove-etcd-member and cleanup-node; the last one is told in more detail here.
func (r *Reset) parts() []resetPart {
	return []resetPart{
		{"preflight", r.preflight},
		{"virtual-ip", r.leaveVirtualIP},
		{"remove-etcd-member", r.leaveEtcd},
		{"cleanup-node/kubelet", r.stopKubelet},
		{"cleanup-node/containers", r.containers},
		{"cleanup-node/mounts", r.unmount},
		{"cleanup-node/rules", r.rules},
		{"cleanup-node/sweep", r.sweep},
		{"cleanup-node/journal", r.walk},
		{"cleanup-node/units", r.units},
	}
}

// ResetPhases are the names for --skip-phases.
func ResetPhases() []string {
	var out []string
	for _, p := range (&Reset{}).parts() {
		out = append(out, p.name)
	}
	return out
}

// Run does it, or with dryRun says what it would do. All errors are joined; the journal is kept until a reset had none.
func (r *Reset) Run(ctx context.Context, dryRun bool) (Summary, error) {
	start := time.Now()
	var sum Summary
	for _, n := range slices.Concat(r.Config.SkipPhases, r.Only) {
		if !slices.ContainsFunc(ResetPhases(), func(k string) bool { return phase.Skipped([]string{n}, k) }) {
			return sum, &UnknownPhaseError{Name: n, Known: ResetPhases()}
		}
	}
	var errs []error
	for _, p := range r.parts() {
		if phase.Skipped(r.Config.SkipPhases, p.name) || !phase.Chosen(r.Only, p.name) {
			r.emit(Event{Phase: p.name, State: Skipped})
			continue
		}
		if err := r.onePart(ctx, p, dryRun, &sum); err != nil {
			if p.name == "preflight" {
				return sum, err
			}
			errs = append(errs, fmt.Errorf("phase %s: %w", p.name, err))
		}
		if ctx.Err() != nil {
			break
		}
	}
	// What was skipped or went wrong still needs its journal.
	if len(r.Config.SkipPhases) == 0 && len(r.Only) == 0 && errors.Join(errs...) == nil {
		sum.Steps++
		changed, err := r.one(ctx, "cleanup-node/journal", forget{}, dryRun)
		if changed {
			sum.Changed++
		}
		errs = append(errs, err)
	}
	sum.Elapsed = time.Since(start)
	if err := errors.Join(errs...); err != nil {
		return sum, &PartialError{Workflow: "reset", Phase: "cleanup-node", Err: err}
	}
	return sum, nil
}

func (r *Reset) onePart(ctx context.Context, p resetPart, dryRun bool, sum *Summary) error {
	start := time.Now()
	before := *sum
	r.emit(Event{Phase: p.name, State: Running})
	steps, err := p.steps(ctx)
	errs := []error{err}
	for _, st := range steps {
		if ctx.Err() != nil {
			errs = append(errs, ctx.Err())
			break
		}
		sum.Steps++
		changed, err := r.one(ctx, p.name, st, dryRun)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", st, err))
		}
		if changed {
			sum.Changed++
		}
	}
	sum.Phases++
	err = errors.Join(errs...)
	ev := Event{Phase: p.name, State: Done, Elapsed: time.Since(start), Changed: sum.Changed - before.Changed, Steps: sum.Steps - before.Steps}
	if err != nil {
		ev.State, ev.Error = Failed, err.Error()
	}
	r.emit(ev)
	return err
}

func (r *Reset) one(ctx context.Context, p string, st step.Step, dryRun bool) (bool, error) {
	ok, err := st.Satisfied(ctx, r.Target)
	if ok && err == nil {
		r.emit(Event{Phase: p, Step: st.String(), State: Satisfied})
		return false, nil
	}
	if dryRun {
		r.emit(Event{Phase: p, Step: st.String(), State: Planned})
		return true, nil
	}
	start := time.Now()
	r.emit(Event{Phase: p, Step: st.String(), State: Running})
	if err := st.Apply(ctx, r.Target); err != nil {
		r.emit(Event{Phase: p, Step: st.String(), State: Failed, Error: err.Error(), Elapsed: time.Since(start)})
		return true, err
	}
	r.emit(Event{Phase: p, Step: st.String(), State: Done, Elapsed: time.Since(start)})
	return true, nil
}

func (r *Reset) emit(ev Event) {
	if r.Events != nil {
		r.Events(ev)
	}
}

func (r *Reset) preflight(ctx context.Context) ([]step.Step, error) {
	f, err := r.Target.Host.Facts(ctx)
	if err != nil {
		return nil, err
	}
	ignored := slices.Contains(r.Config.IgnorePreflightErrors, "all") || slices.Contains(r.Config.IgnorePreflightErrors, "isprivilegeduser")
	if f.UID != 0 && !ignored {
		return nil, &NotRootError{Workflow: "reset"}
	}
	return nil, nil
}

const kubeletUnit = "kubelet.service"

func (r *Reset) stopKubelet(context.Context) ([]step.Step, error) {
	return []step.Step{step.StopUnit{Name: kubeletUnit}}, nil
}

func (r *Reset) containers(context.Context) ([]step.Step, error) {
	socket := r.Config.CRISocket
	if socket == "" {
		socket = NodeCRISocket(r.Target.Host)
	}
	if r.Target.CRI == nil && !socketThere(r.Target.Host, socket) {
		return nil, nil // no runtime, so no containers
	}
	return slices.Concat([]step.Step{step.RemoveContainers{Socket: socket}}, r.dropVirtualIP(), forgetPodNetwork()), nil
}

func socketThere(h host.Reader, socket string) bool {
	if step.IsDockershim(socket) {
		socket = docker.DefaultSocket
	}
	_, err := h.Stat(path.Clean(socket[len("unix://"):]))
	return err == nil
}

// defaultSocket is what kubeadm takes where it finds nothing else.
const defaultSocket = "unix:///run/containerd/containerd.sock"

// socketPattern finds the socket in a kubelet's configuration or flags; up to v1.23 it was written without unix://.
var socketPattern = regexp.MustCompile(`(?:containerRuntimeEndpoint: *["']?|--container-runtime-endpoint=)(?:unix://)?(/[^\s"']+)`)

// NodeCRISocket finds the runtime that the kubelet of this node was given. A kubelet whose flags name none drives Docker itself.
func NodeCRISocket(h host.Reader) string {
	socket := defaultSocket
	for _, p := range []string{
		"/var/lib/kubelet/instance-config.yaml", "/var/lib/kubelet/config.yaml", "/var/lib/kubelet/kubeadm-flags.env",
		"/etc/systemd/system/kubelet.service.d/20-kubebundle.conf", // v1.10
	} {
		data, err := h.ReadFile(p)
		if err != nil {
			continue
		}
		if m := socketPattern.FindSubmatch(data); m != nil {
			return "unix://" + path.Clean(string(m[1]))
		}
		if path.Ext(p) != ".yaml" {
			socket = "unix://" + open.Dockershim
		}
	}
	return socket
}

func (r *Reset) rules(context.Context) ([]step.Step, error) {
	return []step.Step{step.ServiceRules{}}, nil
}

func (r *Reset) unmount(context.Context) ([]step.Step, error) {
	return []step.Step{step.UnmountAll{Prefix: "/var/lib/kubelet"}}, nil
}

// walk is the journal backwards. On a node that kubeadm made it leads to what kubeadm made, as of before an upgrade or a renewal: that goes again.
func (r *Reset) walk(ctx context.Context) ([]step.Step, error) {
	var out []step.Step
	for _, rec := range slices.Backward(r.Journal.Records()) {
		if rec.Kind == step.KindImages && !r.Images {
			continue
		}
		out = append(out, undo{rec})
	}
	if len(out) == 0 || r.Journal.Made() {
		return out, nil
	}
	swept, err := r.sweep(ctx)
	return append(out, swept...), err
}

// units lets systemd and the units that ran before see their former files again.
func (r *Reset) units(ctx context.Context) ([]step.Step, error) {
	var out []step.Step
	reload := false
	for _, rec := range r.Journal.Records() {
		if rec.Kind == step.KindUnit && rec.Active && rec.Restarted {
			st, err := r.Target.Host.UnitState(ctx, rec.Path)
			if err != nil {
				return out, err
			}
			if st.Exists {
				out = append(out, restart{rec.Path})
			}
		}
		reload = reload || step.InUnitDir(rec.Path)
	}
	if reload {
		out = append([]step.Step{daemonReload{}}, out...)
	}
	return out, nil
}

// sweep is what the cluster's programs left, and on a node whose making no journal tells what kubeadm's reset removes (kubernetes 1.36,
// cmd/kubeadm/app/cmd/phases/reset/cleanupnode.go, and what older ones had in addition).
func (r *Reset) sweep(context.Context) ([]step.Step, error) {
	out := []step.Step{
		step.Remove{Path: "/etc/kubernetes/kubelet.conf"}, // the kubelet itself writes it after a TLS bootstrap
		step.Remove{Path: "/etc/kubernetes/bootstrap-kubelet.conf"},
		step.Remove{Path: manifests.VirtualIPLeaving},
		clear{"/var/lib/kubelet"},
		clear{etcdDataDir(r.Target.Host)},
	}
	if !r.Journal.Made() || r.Journal.damaged {
		for _, f := range []string{"admin.conf", "super-admin.conf", "controller-manager.conf", "scheduler.conf"} {
			out = append(out, step.Remove{Path: "/etc/kubernetes/" + f})
		}
		out = append(out,
			step.StopUnit{Name: kubeletUnit, Disable: true}, // or it would fail at every boot
			clear{"/etc/kubernetes/manifests"},
			clear{r.certDir()},
			step.Remove{Path: "/var/lib/dockershim", Recursive: true},
			step.Remove{Path: "/var/run/kubernetes", Recursive: true},
			step.Remove{Path: "/var/lib/cni", Recursive: true},
		)
	}
	if r.Config.CleanupTmpDir {
		out = append(out, step.Remove{Path: "/etc/kubernetes/tmp", Recursive: true})
	}
	return out, nil
}

func (r *Reset) certDir() string {
	if r.Config.CertificatesDir == "" {
		return config.DefaultCertificatesDir
	}
	return r.Config.CertificatesDir
}

// NotRootError says that only root can do this. Exit code 3, as for everything that preflight refuses.
type NotRootError struct{ Workflow string }

func (e *NotRootError) Error() string { return e.Workflow + ": this needs root" }

// Hint says how.
func (e *NotRootError) Hint() string { return "sudo ./install " + e.Workflow }
