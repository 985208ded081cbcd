package manifests

import (
	"fmt"
	"path"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/version"
)

const (
	selfHostedPrefix = "self-hosted-"
	// selfHostedConfDir is where a kubeconfig that is a Secret is mounted: a Secret takes the place of a whole folder, and
	// /etc/kubernetes would cover the certificates below it.
	selfHostedConfDir = kubernetesDir + "/kubeconfig"
	certsVolume       = "k8s-certs"
	kubeconfigVolume  = "kubeconfig"
)

// SelfHostingVersion reports whether kubeadm of this version could turn a control plane into DaemonSets on the strength of its gates.
func SelfHostingVersion(v *version.Version) bool { return !isSince(v, 13) }

// SelfHostedName is the name of a component's DaemonSet, and the value of the label k8s-app on its pods.
func SelfHostedName(component string) string { return selfHostedPrefix + component }

// CertsInSecrets reports whether the pods of a self-hosted control plane read certificates and kubeconfigs from Secrets instead of the host.
func (c *Cluster) CertsInSecrets() bool { return c.asks(certsInSecretGate) }

// SelfHosted turns a component's static pod into a DaemonSet for the nodes of the control plane (kubeadm 1.10 to 1.12 phases/selfhosting).
func SelfHosted(c *Cluster, component string, pod *corev1.Pod) (*appsv1.DaemonSet, error) {
	spec := pod.Spec.DeepCopy()
	if len(spec.Containers) == 0 {
		return nil, fmt.Errorf("render %s: its static pod has no container", SelfHostedName(component))
	}
	if spec.NodeSelector == nil {
		spec.NodeSelector = map[string]string{}
	}
	spec.NodeSelector[masterLabel] = ""
	spec.Tolerations = append(spec.Tolerations, corev1.Toleration{Key: masterLabel, Effect: corev1.TaintEffectNoSchedule})
	spec.DNSPolicy = corev1.DNSClusterFirstWithHostNet
	if component == apiServerName {
		advertiseHostIP(&spec.Containers[0])
	}
	if c.CertsInSecrets() {
		if err := readSecrets(spec, c.CertificatesDir, component); err != nil {
			return nil, fmt.Errorf("render %s: %w", SelfHostedName(component), err)
		}
	}
	labels := map[string]string{"k8s-app": SelfHostedName(component)}
	return &appsv1.DaemonSet{
		TypeMeta:   metav1.TypeMeta{APIVersion: "apps/v1", Kind: "DaemonSet"},
		ObjectMeta: metav1.ObjectMeta{Namespace: kubeSystem, Name: SelfHostedName(component), Labels: labels},
		Spec: appsv1.DaemonSetSpec{
			Selector:       &metav1.LabelSelector{MatchLabels: labels},
			UpdateStrategy: appsv1.DaemonSetUpdateStrategy{Type: appsv1.RollingUpdateDaemonSetStrategyType},
			Template:       corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: *spec},
		},
	}, nil
}

// advertiseHostIP lets each pod advertise the address of the node that it runs on.
func advertiseHostIP(c *corev1.Container) {
	c.Env = append(c.Env, corev1.EnvVar{
		Name:      "HOST_IP",
		ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "status.hostIP"}},
	})
	for i, arg := range c.Command {
		if strings.HasPrefix(arg, "--advertise-address=") {
			c.Command[i] = "--advertise-address=$(HOST_IP)"
		}
	}
}

// readSecrets replaces the host's files by Secrets.
func readSecrets(spec *corev1.PodSpec, certsDir, component string) error {
	ctr := &spec.Containers[0]
	conf := map[string]string{controllerManagerName: controllerManagerConf, schedulerName: schedulerConf}[component]
	for i, v := range spec.Volumes {
		switch {
		case v.Name == certsVolume:
			projected, err := projectCerts(ctr.Command, certsDir)
			if err != nil {
				return err
			}
			spec.Volumes[i].VolumeSource = corev1.VolumeSource{Projected: projected}
		case v.Name == kubeconfigVolume && conf != "":
			spec.Volumes[i].VolumeSource = corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: conf}}
		}
	}
	if conf == "" {
		return nil
	}
	for i, m := range ctr.VolumeMounts {
		if m.Name == kubeconfigVolume {
			ctr.VolumeMounts[i].MountPath = selfHostedConfDir
		}
	}
	for i, arg := range ctr.Command { // 1.12 names it in three flags, of which kubeadm rewrote one
		if name, value, _ := strings.Cut(arg, "="); value == path.Join(kubernetesDir, conf) {
			ctr.Command[i] = name + "=" + path.Join(selfHostedConfDir, conf)
		}
	}
	return nil
}

// projectCerts makes a folder of those certificates that the flags name: of each the very file, as kubeadm listed them.
func projectCerts(command []string, certsDir string) (*corev1.ProjectedVolumeSource, error) {
	wanted := map[string]bool{}
	for _, arg := range command {
		if _, value, _ := strings.Cut(arg, "="); isBelow(value, certsDir) && value != certsDir {
			wanted[strings.TrimPrefix(value, strings.TrimSuffix(certsDir, "/")+"/")] = true
		}
	}
	out := &corev1.ProjectedVolumeSource{}
	for _, s := range CertSecrets() {
		var items []corev1.KeyToPath
		for _, f := range []struct{ key, name string }{{corev1.TLSCertKey, s.Cert}, {corev1.TLSPrivateKeyKey, s.Key}} {
			if wanted[f.name] {
				items = append(items, corev1.KeyToPath{Key: f.key, Path: f.name})
				delete(wanted, f.name)
			}
		}
		if len(items) > 0 {
			out.Sources = append(out.Sources, corev1.VolumeProjection{Secret: &corev1.SecretProjection{
				LocalObjectReference: corev1.LocalObjectReference{Name: s.Name}, Items: items,
			}})
		}
	}
	for name := range wanted {
		return nil, fmt.Errorf("its flags name %s, which is in no Secret: move the file out of %s, or leave the gate %s off",
			path.Join(certsDir, name), certsDir, certsInSecretGate)
	}
	return out, nil
}

// CertSecret is a Secret with a certificate, or a public key, and its key. Cert and Key are files below the certificates dir; a Key that is
// "" stays on the host.
type CertSecret struct{ Name, Cert, Key string }

// CertSecrets are the Secrets that a self-hosted control plane with StoreCertsInSecrets reads (kubeadm 1.10 phases/selfhosting). The last two
// are not kubeadm's: it left them out when etcd got certificates (1.10), and its API server could not start.
func CertSecrets() []CertSecret {
	return []CertSecret{
		{"ca", "ca.crt", "ca.key"},
		{"apiserver", "apiserver.crt", "apiserver.key"},
		{"apiserver-kubelet-client", "apiserver-kubelet-client.crt", "apiserver-kubelet-client.key"},
		{"sa", "sa.pub", "sa.key"},
		{"front-proxy-ca", "front-proxy-ca.crt", "front-proxy-ca.key"},
		{"front-proxy-client", "front-proxy-client.crt", "front-proxy-client.key"},
		{"apiserver-etcd-client", "apiserver-etcd-client.crt", "apiserver-etcd-client.key"},
		{"etcd-ca", "etcd/ca.crt", ""},
	}
}

// Secret makes one of data.
func (s CertSecret) Secret(cert, key []byte) *corev1.Secret {
	out := secret(s.Name, corev1.SecretTypeTLS)
	out.Data = map[string][]byte{corev1.TLSCertKey: cert, corev1.TLSPrivateKeyKey: key}
	if s.Key == "" {
		out.Type = corev1.SecretTypeOpaque
		delete(out.Data, corev1.TLSPrivateKeyKey)
	}
	return out
}

// SelfHostedKubeconfigs are the files in /etc/kubernetes that go into a Secret of their name.
func SelfHostedKubeconfigs() []string { return []string{schedulerConf, controllerManagerConf} }

// KubeconfigSecret holds a kubeconfig under the name of its file.
func KubeconfigSecret(file string, data []byte) *corev1.Secret {
	out := secret(file, corev1.SecretTypeOpaque)
	out.Data = map[string][]byte{file: data}
	return out
}

func secret(name string, kind corev1.SecretType) *corev1.Secret {
	return &corev1.Secret{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: metav1.ObjectMeta{Namespace: kubeSystem, Name: name},
		Type:       kind,
	}
}
