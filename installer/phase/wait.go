package phase

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/yaml"

	"kubebundle/installer/host"
	"kubebundle/installer/step"
	"kubebundle/manifests"
)

// WaitControlPlane waits for the kubelet, then for every component of the control plane, as kubeadm does since v1.30.
type WaitControlPlane struct{}

// Name is kubeadm's.
func (WaitControlPlane) Name() string { return "wait-control-plane" }

// Plan reads each component's health address from its own probes, so that versions and the user's extra arguments need no rule here.
func (WaitControlPlane) Plan(ctx context.Context, s *State, r host.Reader) ([]step.Step, error) {
	c, n, err := s.initCluster(ctx, r)
	if err != nil {
		return nil, err
	}
	t := s.timeouts()
	steps := []step.Step{kubeletHealthy(t.KubeletHealthCheck)}
	for _, comp := range components() {
		u, err := s.healthURL(c, n, comp, r)
		if err != nil {
			return nil, err
		}
		steps = append(steps, componentHealthy(comp, u, t.ControlPlaneComponentHealthCheck, n.CRISocket))
	}
	// /livez answers before the API server serves everybody; what comes next needs it to.
	return append(steps, step.APIHealthy(t.ControlPlaneComponentHealthCheck, n.CRISocket)), nil
}

// healthURL is the liveness probe of a component's static pod, as seen from the host.
func (s *State) healthURL(c *manifests.Cluster, n *manifests.Node, component string, r host.Reader) (string, error) {
	f, err := s.staticPod(c, n, component, r)
	if err != nil {
		return "", err
	}
	u, err := probeURL(f.Data, n.AdvertiseAddress.String())
	if err == nil && u == "" {
		err = errors.New("it has no HTTP liveness probe")
	}
	if err != nil {
		return "", fmt.Errorf("read %s: %w", f.Path, err)
	}
	return u, nil
}

// probeURL is the liveness probe in a static pod's manifest, as seen from the host; "" where it has none over HTTP.
func probeURL(manifest []byte, advertise string) (string, error) {
	var pod corev1.Pod
	if err := yaml.Unmarshal(manifest, &pod); err != nil {
		return "", err
	}
	if len(pod.Spec.Containers) == 0 || pod.Spec.Containers[0].LivenessProbe == nil || pod.Spec.Containers[0].LivenessProbe.HTTPGet == nil {
		return "", nil
	}
	ctr := pod.Spec.Containers[0]
	get := ctr.LivenessProbe.HTTPGet
	port := get.Port.IntValue()
	if get.Port.Type == intstr.String {
		for _, p := range ctr.Ports {
			if p.Name == get.Port.StrVal {
				port = int(p.ContainerPort)
			}
		}
	}
	h := get.Host
	if h == "" { // the API server on all addresses: its own one answers
		h = advertise
	}
	u := url.URL{Scheme: strings.ToLower(string(get.Scheme)), Host: net.JoinHostPort(h, strconv.Itoa(port))}
	if u.Scheme == "" {
		u.Scheme = "http"
	}
	if u.Path, u.RawQuery, _ = strings.Cut(get.Path, "?"); u.Path == "" {
		u.Path = "/"
	}
	return u.String(), nil
}

// kubeletHealthy looks often: a kubelet is up within half a second, and the whole node waits for it.
func kubeletHealthy(timeout time.Duration) step.Await {
	w := step.KubeletHealthy(timeout)
	w.Interval = 100 * time.Millisecond
	return w
}

// componentHealthy waits for one component.
func componentHealthy(component, address string, timeout time.Duration, socket string) step.Await {
	return step.Await{
		What: component + " to be healthy", Timeout: timeout, Interval: 200 * time.Millisecond,
		Hint: step.Logs(socket, component),
		Check: func(ctx context.Context, t *step.Target) error {
			get := t.Get
			if get == nil {
				get = localGet
			}
			status, body, err := get(ctx, address)
			if err != nil {
				return err
			}
			if status != http.StatusOK {
				return fmt.Errorf("GET %s: %d %s", address, status, strings.TrimSpace(string(body)))
			}
			return nil
		},
	}
}

// localGet asks a component on this node. The serving certificates of the controller manager and the scheduler are self-signed in their
// memory, so nobody can verify them; the answer decides only how long to wait. It refuses every address that is not this node's.
func localGet(ctx context.Context, address string) (int, []byte, error) {
	u, err := url.Parse(address)
	if err != nil {
		return 0, nil, err
	}
	if err := onThisNode(u.Hostname()); err != nil {
		return 0, nil, fmt.Errorf("GET %s: %w", address, err)
	}
	tr := &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // this node only, nothing secret is sent, see above
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return 0, nil, err
	}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		return 0, nil, fmt.Errorf("GET %s: %w", address, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
	return resp.StatusCode, body, err
}

// onThisNode accepts loopback and the addresses of this machine's interfaces.
func onThisNode(h string) error {
	ip := net.ParseIP(h)
	if ip == nil {
		return fmt.Errorf("%q is not an IP address", h)
	}
	if ip.IsLoopback() {
		return nil
	}
	own, err := net.InterfaceAddrs()
	if err != nil {
		return err
	}
	for _, a := range own {
		if n, ok := a.(*net.IPNet); ok && n.IP.Equal(ip) {
			return nil
		}
	}
	return fmt.Errorf("%s is not an address of this node", ip)
}

// awaitFile waits until somebody else has written a file.
func awaitFile(what, p string, timeout time.Duration) step.Await {
	return step.Await{
		What: what, Timeout: timeout, Hint: "journalctl -xeu kubelet", Interval: 200 * time.Millisecond,
		Check: func(_ context.Context, t *step.Target) error {
			fi, err := t.Host.Stat(p)
			switch {
			case errors.Is(err, fs.ErrNotExist):
				return fmt.Errorf("%s is not there yet", path.Base(p))
			case err == nil && fi.Size() == 0:
				return fmt.Errorf("%s is empty", path.Base(p))
			}
			return err
		},
	}
}
