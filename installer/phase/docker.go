package phase

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"kubebundle/installer/host"
	cruntime "kubebundle/runtime"
	"kubebundle/runtime/docker"
	"kubebundle/runtime/open"
)

const dockerConfig = "/etc/docker/daemon.json"

// criDockerdAdvice is for a host whose Docker no kubelet of the version can reach.
const criDockerdAdvice = "install cri-dockerd (github.com/Mirantis/cri-dockerd, 0.3 or newer) and run: systemctl enable --now cri-docker.socket; " +
	"or install containerd and name its socket with --cri-socket"

// noRuntime reports a runtime that does not answer, and what would make it.
func (in *inspection) noRuntime(ctx context.Context, err error) {
	p := Problem{Check: "CRI", Level: LevelError, Message: fmt.Sprintf("no container runtime answers: %v", err)}
	asleep := func(unit string) bool {
		st, err := in.r.UnitState(ctx, unit)
		return err == nil && st.Exists && !st.Active
	}
	socket := path.Base(in.s.registration().CRISocket)
	docked := slices.Contains([]string{path.Base(open.CRIDockerd), path.Base(open.Dockershim), path.Base(docker.DefaultSocket)}, socket)
	switch {
	case errors.Is(err, docker.ErrNoCRI) && asleep("cri-docker.service"):
		p.Fix = "systemctl enable --now cri-docker.socket cri-docker.service"
	case errors.Is(err, docker.ErrNoCRI):
		p.Advice = criDockerdAdvice
	case docked && asleep("docker.service"):
		p.Fix = "systemctl enable --now docker"
	case docked:
		p.Advice = "install Docker and start it, or name the socket of another runtime with --cri-socket"
	case asleep("containerd.service"):
		p.Fix = "systemctl enable --now containerd"
	default:
		p.Advice = "install containerd and start it, or name its socket with --cri-socket"
	}
	in.add(p)
}

// docker checks that the kubelet of this version can drive the Docker that answers.
func (in *inspection) docker(info cruntime.Info) {
	socket := in.s.registration().CRISocket
	shim := in.s.Release.Dockershim()
	switch {
	case path.Base(socket) == path.Base(docker.DefaultSocket) && shim:
		in.failAdvise("CRI", "leave --cri-socket out, or give "+open.Dockershim, "%s is Docker's own API, which no kubelet speaks as CRI", socket)
		return
	case path.Base(socket) == path.Base(docker.DefaultSocket):
		in.failAdvise("CRI", criDockerdAdvice, "%s is Docker's own API, which no kubelet speaks as CRI; that is served by cri-dockerd at %s", socket, open.CRIDockerd)
		return
	case info.CRI == "" && !shim:
		in.failAdvise("CRI", criDockerdAdvice, "%s: the kubelet of %s cannot drive Docker by itself, v1.23 was the last; it needs cri-dockerd at %s",
			socket, in.contract.KubernetesVersion, open.CRIDockerd)
		return
	}
	if info.CRI != "" && info.SandboxImage == "" {
		in.warn("SandboxImage", "if it is old, start it with --pod-infra-container-image="+pauseImage(in.contract),
			"cri-dockerd does not tell which sandbox image it starts pods with, and only the bundle's can be had here")
	}
	if in.s.Join != nil {
		return // what its kubelet will be told, discovery finds out
	}
	if p := in.s.dockerDriver(in.r, info); p != nil {
		in.add(*p)
	}
}

// dockerDriver compares the two cgroup drivers, nil where they agree. A kubelet up to v1.23 does not start with another driver than Docker's;
// later ones start, and then no pod does (Docker systemd), or none is held to its limits (Docker cgroupfs).
func (s *State) dockerDriver(r host.Reader, info cruntime.Info) *Problem {
	if info.Name != "docker" || info.CgroupDriver == "" || info.TellsDriver && s.version().Minor() >= asksDriver {
		return nil
	}
	driver, said := s.kubeletDriver(info)
	if driver == info.CgroupDriver {
		return nil
	}
	advice := fmt.Sprintf("write into %s the line %s and run: systemctl restart docker (which stops its containers)", dockerConfig, execOpts(r, driver))
	if s.Join == nil {
		advice += fmt.Sprintf("; or give the kubelet Docker's, with the line cgroupDriver: %s in a KubeletConfiguration (--config)", info.CgroupDriver)
	}
	return &Problem{
		Check: "CgroupDriver", Level: LevelError, Advice: advice,
		Message: fmt.Sprintf("Docker's cgroup driver is %s and the kubelet's is %s (%s): they must be the same", info.CgroupDriver, driver, said),
	}
}

// execOpts is the line of daemon.json that sets a cgroup driver and keeps the other options that are there.
func execOpts(r host.Reader, driver string) string {
	const name = "native.cgroupdriver="
	var have struct {
		ExecOpts []string `json:"exec-opts"`
	}
	if data, err := r.ReadFile(dockerConfig); err == nil {
		_ = json.Unmarshal(data, &have) // a file that Docker cannot read either is not mended here
	}
	opts := append(slices.DeleteFunc(have.ExecOpts, func(o string) bool { return strings.HasPrefix(o, name) }), name+driver)
	for i, o := range opts {
		opts[i] = fmt.Sprintf("%q", o)
	}
	return `"exec-opts": [` + strings.Join(opts, ", ") + "]"
}
