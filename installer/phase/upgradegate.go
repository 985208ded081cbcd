package phase

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"kubebundle/installer/host"
	"kubebundle/installer/step"
	"kubebundle/release"
)

// podLogs is where the kubelet keeps what containers say: NAMESPACE_POD_UID/CONTAINER/N.log, N counting the starts.
const podLogs = "/var/log/pods"

// gate stands behind the write of a static pod's manifest: it opens when the kubelet has made the new pod and the component is healthy. It closes for
// good, without waiting for the time to end, when the new program ends again and again.
type gate struct {
	node      string
	component string
	manifest  []byte
	health    string // URL of its health endpoint, "" if it has none that can be asked
	version   string // the API server's: what /version must say; "" where it would not tell the new one from the old
	// before counts the starts of the former pod: a start on top of it tells the new one. nil where the former one is known to have ended.
	before  map[string]int
	shown   bool // the API is to show the pod of the manifest too
	started map[string]int
	patient bool      // it may end as often as it likes: on the way back there is nothing else to try
	gone    time.Time // since when the program does not run, after it was started again
	now     func() time.Time
}

// endsTolerated is how often a new program may end while it is waited for. An API server may give up once when its etcd is slow; and it is started
// again at once. From the second time on the kubelet waits 10 seconds and more, so a program that does not run for goneTolerated then has ended again.
const (
	endsTolerated = 1
	goneTolerated = 3 * time.Second
)

// backGate is the gate of a program that ran before. It comes up when what it needs has come up: where the kubelet was down, etcd and API server start
// together, and the API server may have to be started three times.
func (s *State) backGate(node, component string, manifest []byte, health, version string) step.Await {
	g := &gate{node: node, component: component, manifest: manifest, health: health, version: version, patient: true, shown: version == ""}
	return g.await(s.timeouts().UpgradeManifests)
}

func (g *gate) await(timeout time.Duration) step.Await {
	return step.Await{
		What: g.component + " to run as its manifest says", Timeout: timeout, Interval: 250 * time.Millisecond,
		Hint:  fmt.Sprintf("its logs: %s/kube-system_%s-%s_*; journalctl -xeu kubelet", podLogs, g.component, g.node),
		Check: g.check,
	}
}

// again reports whether the component's container was started since the upgrade began. The kubelet starts a static pod only when the former one of its
// name has ended.
func (g *gate) again(h host.Reader) bool {
	for dir, n := range podStarts(h, g.node, g.component) {
		if before, known := g.before[dir]; !known || n > before {
			return true
		}
	}
	return false
}

func (g *gate) check(ctx context.Context, t *step.Target) error {
	if err := g.ending(t.Host); err != nil {
		return err
	}
	// Short: the API may be away, and its absence must not hide that a program ends again and again.
	one, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if g.health != "" {
		if err := probe(one, t, g.health, nil); err != nil {
			return err
		}
	}
	if g.before != nil && !g.again(t.Host) {
		return errors.New("the kubelet has not started the new one yet")
	}
	if g.version != "" {
		var v struct {
			GitVersion string `json:"gitVersion"`
		}
		base := g.health[:strings.LastIndex(g.health, "/")]
		if err := probe(one, t, base+"/version", func(body []byte) error { return json.Unmarshal(body, &v) }); err != nil {
			return err
		}
		if v.GitVersion != g.version {
			return fmt.Errorf("it is %s still", v.GitVersion)
		}
	}
	switch {
	case g.shown:
		return g.mirrored(one, t)
	case g.component == string(release.APIServer):
		// The API of this node may not be the one that this program talks to; what comes next needs that one.
		c, err := t.Cluster(one)
		if err != nil {
			return err
		}
		return c.Healthy(one)
	default:
		return nil
	}
}

// mirrored wants the API server to show the pod of the new manifest, running.
func (g *gate) mirrored(ctx context.Context, t *step.Target) error {
	var want corev1.Pod
	if err := yaml.Unmarshal(g.manifest, &want); err != nil {
		return err
	}
	want.Name += "-" + g.node
	c, err := t.Cluster(ctx)
	if err != nil {
		return err
	}
	live, err := c.Kube.CoreV1().Pods(metav1.NamespaceSystem).Get(ctx, want.Name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	same, err := c.Applied(ctx, &want)
	if err != nil {
		return err
	}
	if !same || live.DeletionTimestamp != nil {
		return errors.New("the kubelet has not taken the new manifest yet")
	}
	return g.hasStarted(t.Host, live)
}

// hasStarted looks for the start of a mirror pod's container. Its logs lie below the hash of its manifest, and the kubelet starts it when the former one
// has ended; what the API shows of its state may be a minute late.
func (g *gate) hasStarted(h host.Host, live *corev1.Pod) error {
	hash := live.Annotations["kubernetes.io/config.hash"]
	for dir := range podStarts(h, g.node, g.component) {
		if hash != "" && strings.HasSuffix(path.Base(path.Dir(dir)), "_"+hash) {
			return nil
		}
	}
	if len(live.Status.ContainerStatuses) == 0 {
		return errors.New("its container has not started")
	}
	if st := live.Status.ContainerStatuses[0]; st.State.Running == nil { // a static pod of ours has one
		return fmt.Errorf("its container is not running: %s", waitingText(st))
	}
	return nil
}

func waitingText(st corev1.ContainerStatus) string {
	switch {
	case st.State.Waiting != nil:
		return strings.TrimSpace(st.State.Waiting.Reason + " " + st.State.Waiting.Message)
	case st.State.Terminated != nil:
		return fmt.Sprintf("it ended with code %d", st.State.Terminated.ExitCode)
	default:
		return "unknown"
	}
}

// probe asks a health endpoint of this node.
func probe(ctx context.Context, t *step.Target, address string, read func(body []byte) error) error {
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
	if read != nil {
		return read(body)
	}
	return nil
}

// ending looks whether the component's program ends again and again: for every start there is a log file.
func (g *gate) ending(h host.Reader) error {
	if g.patient {
		return nil
	}
	now := podStarts(h, g.node, g.component)
	if g.started == nil {
		g.started = now
	}
	for dir, n := range now {
		again := n - g.started[dir] // a folder that is new began with 0, as its logs do
		last := n - 1
		switch {
		case again < endsTolerated:
			continue
		case again == endsTolerated:
			if !g.ended(h) {
				continue
			}
			last = n
		}
		log := path.Join(dir, strconv.Itoa(last)+".log")
		for ; last > 0 && strings.TrimSpace(tail(h, log)) == ""; last-- { // it was just about to be started once more
			log = path.Join(dir, strconv.Itoa(last-1)+".log")
		}
		return &step.HopelessError{Err: fmt.Errorf("%s ends again and again; it says (%s):\n%s", g.component, log, tail(h, log))}
	}
	return nil
}

// ended reports whether the program has not been running for a while.
func (g *gate) ended(h host.Reader) bool {
	now := time.Now
	if g.now != nil {
		now = g.now
	}
	if runs(h, g.component) {
		g.gone = time.Time{}
		return false
	}
	if g.gone.IsZero() {
		g.gone = now()
	}
	return now().Sub(g.gone) > goneTolerated
}

// podStarts counts the starts of a static pod's container: the highest number of a log file in each folder that there is of such a pod.
func podStarts(h host.Reader, node, component string) map[string]int {
	out := map[string]int{}
	pods, err := h.ReadDir(podLogs)
	if err != nil {
		return out
	}
	for _, p := range pods {
		if !strings.HasPrefix(p.Name(), "kube-system_"+component+"-"+node+"_") {
			continue
		}
		dir := path.Join(podLogs, p.Name(), component)
		files, err := h.ReadDir(dir)
		if err != nil {
			continue
		}
		for _, f := range files {
			if n, err := strconv.Atoi(strings.TrimSuffix(f.Name(), ".log")); err == nil {
				out[dir] = max(out[dir], n)
			}
		}
	}
	return out
}

// tail is the end of a container's log, without what the runtime writes before each line.
func tail(h host.Reader, file string) string {
	const lines, width = 8, 300
	data, err := h.ReadFile(file)
	if err != nil {
		return "(" + err.Error() + ")"
	}
	all := bytes.Split(bytes.TrimSpace(data), []byte("\n"))
	var out []string
	for _, l := range all[max(len(all)-lines, 0):] {
		if parts := strings.SplitN(string(l), " ", 4); len(parts) == 4 && (parts[1] == "stderr" || parts[1] == "stdout") { // CRI's form
			l = []byte(parts[3])
		}
		if len(l) > width {
			l = append(slices.Clip(l[:width]), "…"...)
		}
		out = append(out, "  "+string(l))
	}
	return strings.Join(out, "\n")
}

// healthOf is where a static pod's component answers, as its manifest says: the liveness probe, and of the API server /readyz, which answers ok only
// when it serves everybody. A probe that is a command cannot be asked from here.
func healthOf(manifest []byte, component, advertise string) (string, error) {
	u, err := probeURL(manifest, advertise)
	if err != nil {
		return "", err
	}
	if component == string(release.APIServer) {
		u = strings.Replace(u, "/livez", "/readyz", 1)
	}
	return u, nil
}
