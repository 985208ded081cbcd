package phase

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"kubebundle/installer/host"
	"kubebundle/installer/step"
	"kubebundle/manifests"
	"kubebundle/release"
)

// selfHostedDir keeps the manifests of those static pods whose component runs as a DaemonSet: with them the node goes back. It holds
// nothing that the kubelet would start.
const selfHostedDir = "/etc/kubernetes/self-hosted"

const convertPart = "convert-from-staticpods"

// SelfHosting turns the static pods of the control plane into DaemonSets, as kubeadm of v1.10 to v1.12 did with the gate SelfHosting or by
// `kubeadm alpha phase selfhosting convert-from-staticpods`. etcd stays what it is.
type SelfHosting struct{}

// Name is kubeadm's.
func (SelfHosting) Name() string { return "selfhosting" }

// Parts is kubeadm's sub-phase.
func (SelfHosting) Parts() []string { return []string{convertPart} }

// Plan goes component by component: its DaemonSet; when the kubelet has started the pod, the static pod's manifest out of the kubelet's
// folder; and on only when the pod has taken the ports over. Cut off anywhere, it goes on from what lies in the two folders.
func (p SelfHosting) Plan(ctx context.Context, s *State, r host.Reader) ([]step.Step, error) {
	c, n, err := s.initCluster(ctx, r)
	if err != nil {
		return nil, err
	}
	asked := slices.ContainsFunc(s.Only, func(o string) bool { return Skipped([]string{p.Name()}, o) })
	if !asked && !c.SelfHosting() || !s.wants(p.Name(), convertPart) {
		return nil, nil
	}
	if !manifests.SelfHostingVersion(c.Version) {
		return nil, &PreflightError{Problems: []Problem{selfHostingProblem(c.Version.String())}}
	}
	t := s.timeouts().ControlPlaneComponentHealthCheck
	steps := []step.Step{step.APIHealthy(t, n.CRISocket)} // after a run that was cut off it may be about to change over
	if c.CertsInSecrets() {
		secrets, err := s.selfHostedSecrets(c, r)
		if err != nil {
			return nil, err
		}
		steps = append(steps, step.Objects{What: "Secrets of the control plane", List: secrets})
	}
	steps = append(steps, step.Dir{Path: selfHostedDir, Mode: 0o700, Own: true})
	converted := false
	for _, comp := range components() {
		pod, err := s.podToConvert(c, n, comp, r)
		if errors.Is(err, fs.ErrNotExist) {
			s.log().Info("no static pod is there to be converted", "component", comp)
			continue
		}
		if err != nil {
			return nil, err
		}
		ds, err := manifests.SelfHosted(c, comp, pod)
		if err != nil {
			return nil, err
		}
		health, err := selfHostedHealth(pod, n)
		if err != nil {
			return nil, err
		}
		steps = append(steps,
			step.Objects{What: "DaemonSet kube-system/" + ds.Name, List: []runtime.Object{ds}},
			selfHostedStarted(n, comp, t),
			step.Move{From: path.Join(manifestsDir, comp+".yaml"), To: path.Join(selfHostedDir, comp+".yaml")},
			selfHostedServes(n, comp, health, t),
			step.APIHealthy(t, n.CRISocket))
		converted = true
	}
	if !converted {
		return nil, nil
	}
	return append(steps, step.Print{What: "the limits of self-hosting", Text: func() string { return SelfHostingLimits }}), nil
}

// SelfHostingLimits is told whenever a control plane has begun to host itself.
const SelfHostingLimits = `
The control plane hosts itself now: kube-apiserver, kube-controller-manager and kube-scheduler are DaemonSets in kube-system.

Its limit: a kubelet learns of these pods from the API server only. When all control plane nodes have been off at once - of one, at its
next reboot - nothing starts them again. Then, and before an upgrade or a renewal of certificates, go back to static pods on each:

  mv /etc/kubernetes/self-hosted/*.yaml /etc/kubernetes/manifests/

and, when the API server answers:

  kubectl -n kube-system delete daemonset self-hosted-kube-scheduler self-hosted-kube-controller-manager self-hosted-kube-apiserver
`

func selfHostingProblem(v string) Problem {
	return Problem{
		Check: "SelfHosting", Level: LevelError,
		Message: "Kubernetes v" + v + " has no self-hosting: kubeadm's gates made DaemonSets of a control plane from v1.10 to v1.12. They were given up, " +
			"for such a control plane does not come back after all its nodes were off",
		Advice: "leave the control plane as static pods",
	}
}

// podToConvert reads a component's static pod from where it is, or from where an earlier run has put it. Where the kubelet has not been set
// up (a dry run of init, a rendering) it is what init will write.
func (s *State) podToConvert(c *manifests.Cluster, n *manifests.Node, comp string, r host.Reader) (*corev1.Pod, error) {
	pod, err := readPod(r, path.Join(manifestsDir, comp+".yaml"))
	if errors.Is(err, fs.ErrNotExist) {
		pod, err = readPod(r, path.Join(selfHostedDir, comp+".yaml"))
	}
	if !errors.Is(err, fs.ErrNotExist) || exists(r, kubeletConf) && !s.DryRun {
		return pod, err
	}
	f, err := s.staticPod(c, n, comp, r)
	if err != nil {
		return nil, err
	}
	pod = &corev1.Pod{}
	return pod, yaml.Unmarshal(f.Data, pod)
}

// selfHosted reports whether a component of this node has been converted: its manifest is in the one folder and not in the other.
func selfHosted(r host.Reader, comp string) bool {
	return exists(r, path.Join(selfHostedDir, comp+".yaml")) && !exists(r, path.Join(manifestsDir, comp+".yaml"))
}

// CheckStaticPods refuses what is only for a control plane of static pods.
func CheckStaticPods(r host.Reader, what string) error {
	for _, comp := range components() {
		if selfHosted(r, comp) {
			return &SelfHostedError{What: what}
		}
	}
	return nil
}

// SelfHostedError says that a control plane hosts itself.
type SelfHostedError struct{ What string }

func (e *SelfHostedError) Error() string {
	return e.What + ": this control plane hosts itself, and only static pods can be changed"
}

// Hint is the way back.
func (*SelfHostedError) Hint() string {
	return "go back first: mv " + selfHostedDir + "/*.yaml " + manifestsDir + "/, then delete the DaemonSets (docs/selfhosting.md)"
}

func selfHostedHealth(pod *corev1.Pod, n *manifests.Node) (string, error) {
	data, err := manifests.Encode(pod)
	if err != nil {
		return "", err
	}
	return probeURL(data, n.AdvertiseAddress.String())
}

// selfHostedStarted waits for the DaemonSet's pod on this node. It cannot serve yet: the static pod has its port. That it was started is
// what counts, for from then on the kubelet starts it again and again without asking the API server.
func selfHostedStarted(n *manifests.Node, comp string, timeout time.Duration) step.Await {
	return step.Await{
		What: "a pod of DaemonSet " + manifests.SelfHostedName(comp) + " on this node", Timeout: timeout,
		Hint: "kubectl -n kube-system describe daemonset " + manifests.SelfHostedName(comp) + "; " + step.Logs(n.CRISocket, comp),
		Check: func(ctx context.Context, t *step.Target) error {
			pod, err := selfHostedPod(ctx, t, comp, n.Name)
			if err != nil {
				return err
			}
			if pod.Status.Phase != corev1.PodRunning {
				return fmt.Errorf("pod %s is %s", pod.Name, pod.Status.Phase)
			}
			return nil
		},
	}
}

// settled is how long a container must have run to have got its port: one that does not get it ends within a second.
const settled = 3 * time.Second

// selfHostedServes waits until the static pod is gone and the DaemonSet's one does its work.
func selfHostedServes(n *manifests.Node, comp, health string, timeout time.Duration) step.Await {
	healthy := componentHealthy(comp, health, timeout, n.CRISocket)
	return step.Await{
		What: manifests.SelfHostedName(comp) + " to take over", Timeout: timeout, Hint: step.Logs(n.CRISocket, comp),
		Check: func(ctx context.Context, t *step.Target) error {
			c, err := t.Cluster(ctx)
			if err != nil {
				return err
			}
			static := comp + "-" + n.Name
			switch _, err := c.Kube.CoreV1().Pods(metav1.NamespaceSystem).Get(ctx, static, metav1.GetOptions{}); {
			case err == nil:
				return fmt.Errorf("the static pod %s is still there", static)
			case !apierrors.IsNotFound(err):
				return err
			}
			pod, err := selfHostedPod(ctx, t, comp, n.Name)
			if err != nil {
				return err
			}
			for _, st := range pod.Status.ContainerStatuses {
				if st.State.Running == nil || !st.Ready {
					return fmt.Errorf("container %s of pod %s does not run", st.Name, pod.Name)
				}
				if since := time.Since(st.State.Running.StartedAt.Time); since < settled {
					return fmt.Errorf("container %s of pod %s has run for %s", st.Name, pod.Name, since.Round(time.Second))
				}
			}
			return healthy.Check(ctx, t)
		},
	}
}

// selfHostedPod is a component's pod on a node.
func selfHostedPod(ctx context.Context, t *step.Target, comp, node string) (*corev1.Pod, error) {
	c, err := t.Cluster(ctx)
	if err != nil {
		return nil, err
	}
	list, err := c.Kube.CoreV1().Pods(metav1.NamespaceSystem).List(ctx, metav1.ListOptions{LabelSelector: "k8s-app=" + manifests.SelfHostedName(comp)})
	if err != nil {
		return nil, err
	}
	for i, pod := range list.Items {
		if pod.Spec.NodeName == node && pod.DeletionTimestamp == nil {
			return &list.Items[i], nil
		}
	}
	return nil, errors.New("there is none yet")
}

// selfHostedSecrets are what the pods read with StoreCertsInSecrets.
func (s *State) selfHostedSecrets(c *manifests.Cluster, r host.Reader) ([]runtime.Object, error) {
	read := func(p string) ([]byte, error) {
		data, err := r.ReadFile(p)
		if !errors.Is(err, fs.ErrNotExist) {
			return data, err
		}
		if word := s.words[p]; word != nil {
			return word, nil
		}
		if s.DryRun {
			return []byte("<" + p + ">"), nil
		}
		return nil, err
	}
	var out []runtime.Object
	for _, cs := range manifests.CertSecrets() {
		cert, err := read(path.Join(c.CertificatesDir, cs.Cert))
		if errors.Is(err, fs.ErrNotExist) && c.Etcd.External != nil && strings.Contains(cs.Name, string(release.Etcd)) {
			continue // its certificates lie elsewhere
		}
		if err != nil {
			return nil, err
		}
		key := []byte{}
		if cs.Key != "" {
			key, err = read(path.Join(c.CertificatesDir, cs.Key))
			if errors.Is(err, fs.ErrNotExist) { // a CA's key that is kept elsewhere
				key, err = []byte{}, nil
			}
			if err != nil {
				return nil, err
			}
		}
		out = append(out, cs.Secret(cert, key))
	}
	for _, file := range manifests.SelfHostedKubeconfigs() {
		data, err := read(path.Join("/etc/kubernetes", file))
		if err != nil {
			return nil, err
		}
		out = append(out, manifests.KubeconfigSecret(file, data))
	}
	return out, nil
}
