package manifests

import (
	"errors"
	"fmt"
	"path"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

// Names of the control plane's components: of their pods, their images' keys and their files.
const (
	apiServerName         = "kube-apiserver"
	controllerManagerName = "kube-controller-manager"
	schedulerName         = "kube-scheduler"
	etcdName              = "etcd"
)

const (
	kubernetesDir    = "/etc/kubernetes"
	manifestsDir     = kubernetesDir + "/manifests"
	kubeSystem       = metav1.NamespaceSystem
	nodeCritical     = int32(2000001000) // the value of the class system-node-critical
	secretFileMode   = 0o600
	readableFileMode = 0o644
)

// StaticPod renders one of kube-apiserver, kube-controller-manager, kube-scheduler, etcd as the file in /etc/kubernetes/manifests,
// mode 0600. It fails where the component has no image in Cluster.Images, or etcd is external.
func StaticPod(c *Cluster, n *Node, component string) (File, error) {
	if n.AdvertiseAddress == nil {
		return File{}, fmt.Errorf("render %s: the node has no advertise address; give --apiserver-advertise-address", component)
	}
	var (
		pod *corev1.Pod
		err error
	)
	switch component {
	case apiServerName:
		pod, err = apiServerPod(c, n)
	case controllerManagerName:
		pod, err = controllerManagerPod(c, n)
	case schedulerName:
		pod, err = schedulerPod(c, n)
	case etcdName:
		pod, err = etcdPod(c, n)
	default:
		err = errors.New("not a component of the control plane")
	}
	if err != nil {
		return File{}, fmt.Errorf("render %s: %w", component, err)
	}
	data, err := Encode(pod)
	if err != nil {
		return File{}, fmt.Errorf("render %s: %w", component, err)
	}
	return File{Path: path.Join(manifestsDir, component+".yaml"), Mode: secretFileMode, Data: data}, nil
}

// image gives the reference of a component's image.
func (c *Cluster) image(component string) (string, error) {
	if ref := c.Images[component]; ref != "" {
		return ref, nil
	}
	return "", fmt.Errorf("no image for %s; the bundle must name one", component)
}

// staticPod is what differs between the control plane's pods.
type staticPod struct {
	name        string
	command     []string
	mounts      mounts
	health      health
	probeHost   string
	probePort   int
	requests    corev1.ResourceList
	env         []corev1.EnvVar
	annotations map[string]string
}

// podFor wraps a component as kubeadm does (kubeadm 1.34 util/staticpod; facts section 4).
func (c *Cluster) podFor(s staticPod) (*corev1.Pod, error) {
	image, err := c.image(s.name)
	if err != nil {
		return nil, err
	}
	v := c.Version
	volumes, volumeMounts := s.mounts.split()
	container := corev1.Container{
		Name:            s.name,
		Image:           image,
		ImagePullPolicy: corev1.PullIfNotPresent,
		Command:         s.command,
		Resources:       corev1.ResourceRequirements{Requests: s.requests},
		VolumeMounts:    volumeMounts,
		Env:             s.env,
	}
	c.addProbes(&container, s)

	pod := &corev1.Pod{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{
			Name:        s.name,
			Namespace:   kubeSystem,
			Labels:      map[string]string{"component": s.name, "tier": "control-plane"},
			Annotations: podAnnotations(c, s),
		},
		Spec: corev1.PodSpec{
			Containers:        []corev1.Container{container},
			HostNetwork:       true,
			PriorityClassName: pick(v, priorityClasses),
			Volumes:           volumes,
		},
	}
	if isSince(v, 25) {
		pod.Spec.Priority = ptr.To(nodeCritical)
	}
	if isSince(v, 22) {
		pod.Spec.SecurityContext = &corev1.PodSecurityContext{
			SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		}
	}
	return pod, nil
}

// priorityClasses of static pods: none in 1.10 (kubeadm 1.10, 1.11, 1.18, 1.19 util/staticpod).
var priorityClasses = []row[string]{
	{between(11, 18), "system-cluster-critical"},
	{since(19), "system-node-critical"},
}

// podAnnotations marks a pod as critical up to 1.13, and from 1.18 carries what joining nodes read.
func podAnnotations(c *Cluster, s staticPod) map[string]string {
	out := map[string]string{}
	if !isSince(c.Version, 14) {
		out["scheduler.alpha.kubernetes.io/critical-pod"] = ""
	}
	if isSince(c.Version, 18) {
		for k, v := range s.annotations {
			out[k] = v
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

func cpu(amount string) corev1.ResourceList {
	return corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(amount)}
}
