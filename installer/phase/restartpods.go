package phase

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"kubebundle/installer/host"
	"kubebundle/installer/pki"
	"kubebundle/installer/step"
	"kubebundle/manifests"
)

// RestartStaticPods starts those components anew whose certificates were renewed, all in one, and waits for each. It changes an annotation of their
// manifests, which makes the kubelet of any version start another pod, and tells from the outside whether it was done. The pods that ran are ended
// while the kubelet is stopped: a kubelet that ends them itself takes half a minute for each.
type RestartStaticPods struct {
	CertDir   string
	CRISocket string // unix:///run/containerd/containerd.sock
}

// Name is ours.
func (RestartStaticPods) Name() string { return "restart-static-pods" }

// restartOrder: what others depend on comes first.
func restartOrder() []string { return append([]string{"etcd"}, components()...) }

// Plan goes by what was renewed now, and by what a run that was cut off has left.
func (p RestartStaticPods) Plan(_ context.Context, s *State, r host.Reader) ([]step.Step, error) {
	if len(s.restart) == 0 {
		return nil, nil
	}
	node, err := nodeName(r)
	if err != nil {
		return nil, err
	}
	ex := step.Exchange{Unit: kubeletRuns()}
	var restart []string
	var gates []step.Step
	for _, comp := range restartOrder() {
		if !slices.Contains(s.restart, comp) {
			continue
		}
		file := path.Join(manifestsDir, comp+".yaml")
		data, err := r.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) { // an external etcd whose client certificate lies here
			continue
		}
		if err != nil {
			return nil, err
		}
		sum, err := p.digest(comp, r)
		if err != nil {
			return nil, err
		}
		if data, err = annotatePod(data, sum); err != nil {
			return nil, &MisfitError{Path: file, Err: err}
		}
		fi, err := r.Stat(file)
		if err != nil {
			return nil, err
		}
		restart = append(restart, comp)
		ex.Change = append(ex.Change, step.Tended{Step: step.File{Path: file, Mode: fi.Mode().Perm(), Data: data}})
		gates = append(gates, podRuns(node, comp, sum, s.timeouts().ControlPlaneComponentHealthCheck))
	}
	if len(restart) == 0 {
		return []step.Step{step.Remove{Path: pendingRenewal, Why: "nothing is left to start anew"}}, nil
	}
	ex.End = endStaticPods(p.CRISocket, node, restart)
	steps := append([]step.Step{ex}, gates...)
	return append(steps, step.Remove{Path: pendingRenewal, Why: "nothing is left to start anew"}), nil
}

// digest is over the certificates of a component, which are public.
func (p RestartStaticPods) digest(component string, r host.Reader) (string, error) {
	sum := sha256.New()
	for _, m := range manifests.RenewableCertificates() {
		if !slices.Contains(m.Pods, component) {
			continue
		}
		e, found, err := readRenewable(r, p.CertDir, m, false)
		if err != nil {
			return "", err
		}
		if !e.Missing {
			fmt.Fprintf(sum, "%s %d\n%s", m.Name, len(found.cert), found.cert)
		}
	}
	return hex.EncodeToString(sum.Sum(nil))[:16], nil
}

// annotatePod sets the annotation in a manifest and keeps all else, fields that this program does not know included.
func annotatePod(data []byte, sum string) ([]byte, error) {
	var doc map[string]any
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return nil, err
	}
	meta, _ := doc["metadata"].(map[string]any)
	if meta == nil {
		return nil, errors.New("it has no metadata")
	}
	annotations, _ := meta["annotations"].(map[string]any)
	if annotations == nil {
		annotations = map[string]any{}
		meta["annotations"] = annotations
	}
	annotations[manifests.CertificatesAnnotation] = sum
	return yaml.Marshal(doc)
}

// podRuns waits until the API server shows the pod that was made of the new manifest, Ready.
func podRuns(node, component, sum string, timeout time.Duration) step.Await {
	pod := component + "-" + node
	return step.Await{
		What: pod + " to run with its new certificates", Timeout: timeout, Interval: 500 * time.Millisecond,
		Hint: step.Logs("", component),
		Check: func(ctx context.Context, t *step.Target) error {
			c, err := t.Cluster(ctx)
			if err != nil {
				return err
			}
			live, err := c.Kube.CoreV1().Pods(metav1.NamespaceSystem).Get(ctx, pod, metav1.GetOptions{})
			if err != nil {
				return err
			}
			if live.Annotations[manifests.CertificatesAnnotation] != sum {
				return errors.New("the kubelet has not taken the new manifest yet")
			}
			for _, cond := range live.Status.Conditions {
				if cond.Type == corev1.PodReady && cond.Status == corev1.ConditionTrue {
					return nil
				}
			}
			return fmt.Errorf("it is %s, not Ready", live.Status.Phase)
		},
	}
}

// NoNodeError says that this host has not joined a cluster.
type NoNodeError struct{}

func (*NoNodeError) Error() string {
	return "find the node's name: " + kubeletConf + " is not there: this host is no node of a cluster"
}

// Hint says where to go.
func (*NoNodeError) Hint() string {
	return "run it on a node of the cluster; ./install status says what stands on this host"
}

// nodeName is this node's name in the cluster: the one in its kubelet's certificate.
func nodeName(r host.Reader) (string, error) {
	data, err := r.ReadFile(kubeletConf)
	if errors.Is(err, fs.ErrNotExist) {
		return "", &NoNodeError{}
	}
	if err != nil {
		return "", fmt.Errorf("find the node's name: %w", err)
	}
	conf, err := parseKubeconfig(data, path.Dir(kubeletConf), r)
	if err != nil {
		return "", fmt.Errorf("find the node's name: %s: %w", kubeletConf, err)
	}
	certs, err := pki.ParseCertificates(conf.cert)
	if err != nil {
		return "", fmt.Errorf("find the node's name: %s: %w", kubeletConf, err)
	}
	name, ok := strings.CutPrefix(certs[0].Subject.CommonName, "system:node:")
	if !ok {
		return "", fmt.Errorf("find the node's name: %s is of %q and not of a node", kubeletConf, certs[0].Subject.CommonName)
	}
	return name, nil
}
