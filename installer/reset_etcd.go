package installer

import (
	"context"
	"errors"
	"net"
	"net/url"
	"path"
	"strconv"
	"strings"

	"sigs.k8s.io/yaml"

	"kubebundle/installer/host"
	"kubebundle/installer/step"
)

const (
	etcdManifest      = "/etc/kubernetes/manifests/etcd.yaml"
	apiServerManifest = "/etc/kubernetes/manifests/kube-apiserver.yaml"
)

// leaveEtcd takes this node's member out of the cluster's etcd while it still runs: a member that just disappears counts for the quorum for
// ever. It is asked over the node's own member, which lives until this is done; where that one is away, over the others that were there when it joined:
// they know whether a reset that was cut off has taken it out already.
func (r *Reset) leaveEtcd(ctx context.Context) ([]step.Step, error) {
	pod := readEtcdPod(r.Target.Host)
	if pod == nil { // a worker, or an etcd that others run
		if data, err := r.Target.Host.ReadFile(apiServerManifest); err == nil && !strings.Contains(string(data), "--etcd-servers=https://127.0.0.1:") {
			r.emit(Event{Phase: "remove-etcd-member", State: Progress, What: "the etcd is not this node's: what the cluster has stored there stays. When its last control plane is gone: etcdctl del /registry --prefix"})
		}
		return nil, nil
	}
	peer := pod.arg("initial-advertise-peer-urls")
	if peer == "" || strings.Contains(peer, "//127.") { // up to v1.12 it has no others
		return nil, nil
	}
	client, _, _ := strings.Cut(pod.arg("listen-client-urls"), ",")
	dir := path.Join(r.certDir(), "etcd")
	leaveBy := func(endpoint string) step.EtcdLeave {
		return step.EtcdLeave{PeerURL: peer, Conn: step.EtcdConn{
			CAFile: path.Join(dir, "ca.crt"), CertFile: path.Join(dir, "healthcheck-client.crt"), KeyFile: path.Join(dir, "healthcheck-client.key"),
			Endpoints: []string{endpoint},
		}}
	}
	err := errEtcdDown
	if !r.etcdDown(ctx, client) {
		if _, err = leaveBy(client).Satisfied(ctx, r.Target); err == nil {
			return []step.Step{leaveBy(client)}, nil
		}
	}
	others := otherMembers(pod.arg("initial-cluster"), peer, client)
	for _, other := range others {
		if _, otherErr := leaveBy(other).Satisfied(ctx, r.Target); otherErr == nil {
			return []step.Step{leaveBy(other)}, nil
		}
	}
	if len(others) == 0 {
		// The first control plane, whose etcd does not answer. Whether others have joined it cannot be known here; that it cannot be reset
		// would be worse.
		r.emit(Event{Phase: "remove-etcd-member", State: Progress, What: "etcd does not answer (" + err.Error() + "); if other control planes have joined this one, take " + peer + " out there: etcdctl member remove"})
		return nil, nil
	}
	return []step.Step{leaveBy(client)}, nil
}

var errEtcdDown = errors.New("neither it nor the kubelet runs")

// etcdDown says that this node's member does not run and nothing will start it, so that nobody need wait for its answer.
func (r *Reset) etcdDown(ctx context.Context, client string) bool {
	kubelet, err := r.Target.Host.UnitState(ctx, kubeletUnit)
	if err != nil || kubelet.Active || kubelet.Sub == "auto-restart" {
		return false
	}
	u, err := url.Parse(client)
	if err != nil {
		return false
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		return false
	}
	free, err := r.Target.Host.PortFree(port)
	return err == nil && free
}

// otherMembers are the client URLs of those with whom a member joined, which listen at the same port as it does.
func otherMembers(initialCluster, peer, client string) []string {
	own, err := url.Parse(client)
	if err != nil {
		return nil
	}
	var out []string
	for m := range strings.SplitSeq(initialCluster, ",") {
		_, at, _ := strings.Cut(m, "=")
		u, err := url.Parse(at)
		if err != nil || at == peer || u.Hostname() == "" {
			continue
		}
		out = append(out, own.Scheme+"://"+net.JoinHostPort(u.Hostname(), own.Port()))
	}
	return out
}

// etcdPod is what reset reads of etcd's static pod.
type etcdPod struct {
	Spec struct {
		Containers []struct {
			Command []string `json:"command"`
		} `json:"containers"`
		Volumes []struct {
			Name     string `json:"name"`
			HostPath struct {
				Path string `json:"path"`
			} `json:"hostPath"`
		} `json:"volumes"`
	} `json:"spec"`
}

func readEtcdPod(h host.Reader) *etcdPod {
	data, err := h.ReadFile(etcdManifest)
	if err != nil {
		return nil
	}
	var pod etcdPod
	if err := yaml.Unmarshal(data, &pod); err != nil {
		return nil
	}
	return &pod
}

// arg is the value of an argument: "--name=value".
func (p *etcdPod) arg(name string) string {
	for _, c := range p.Spec.Containers {
		for _, a := range c.Command {
			if v, ok := strings.CutPrefix(a, "--"+name+"="); ok {
				return v
			}
		}
	}
	return ""
}

// etcdDataDir reads from the static pod where this node's etcd keeps its data: the hostPath volume "etcd-data".
func etcdDataDir(h host.Reader) string {
	const usual = "/var/lib/etcd"
	pod := readEtcdPod(h)
	if pod == nil {
		return usual
	}
	for _, v := range pod.Spec.Volumes {
		if p := v.HostPath.Path; v.Name == "etcd-data" && path.IsAbs(p) && path.Clean(p) != "/" {
			return path.Clean(p)
		}
	}
	return usual
}
