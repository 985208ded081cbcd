package manifests

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/version"
	"k8s.io/utils/ptr"
)

const (
	kubeProxyName   = "kube-proxy"
	kubeProxyDir    = "/var/lib/kube-proxy"
	serviceTokenDir = "/var/run/secrets/kubernetes.io/serviceaccount"
)

// KubeProxy renders kube-proxy. server is the API address that it uses (https://host:port); n is the node that init makes, whose proxy
// variables kube-proxy gets everywhere since 1.17 (kubernetes PR 84559). Sources: phases/addons/proxy of kubeadm
// 1.10 … 1.37; facts section 7.3. The Role lets joining nodes read its ConfigMap (1.12+).
func KubeProxy(c *Cluster, n *Node, server string) ([]runtime.Object, error) {
	cm, err := kubeProxyConfigMap(c, server)
	if err != nil {
		return nil, fmt.Errorf("render kube-proxy: %w", err)
	}
	ds, err := kubeProxyDaemonSet(c, n)
	if err != nil {
		return nil, fmt.Errorf("render kube-proxy: %w", err)
	}
	objs := []runtime.Object{
		serviceAccountObject(kubeProxyName),
		clusterRoleBinding("kubeadm:node-proxier", "system:node-proxier", serviceAccount(kubeProxyName)),
	}
	if isSince(c.Version, 12) {
		objs = append(objs,
			configMapReader(kubeProxyName, kubeProxyName),
			roleBinding(kubeSystem, kubeProxyName, group(defaultTokenGroup)))
	}
	return append(objs, cm, ds), nil
}

func kubeProxyConfigMap(c *Cluster, server string) (*corev1.ConfigMap, error) {
	config, err := encodeMap(kubeProxyConfig(c, server))
	if err != nil {
		return nil, err
	}
	kubeconfig, err := encodeMap(kubeProxyKubeconfig(server))
	if err != nil {
		return nil, err
	}
	cm := configMap(kubeSystem, kubeProxyName, map[string]string{"config.conf": string(config), "kubeconfig.conf": string(kubeconfig)})
	cm.Labels = map[string]string{"app": kubeProxyName}
	if isSince(c.Version, 19) && len(c.KubeProxyConfig) == 0 {
		sign(cm)
	}
	return cm, nil
}

// kubeProxyConfig is what kubeadm decides, with the user's document over it (kubeadm 1.34 and 1.37 componentconfigs/kubeproxy.go).
func kubeProxyConfig(c *Cluster, server string) map[string]any {
	bind := "0.0.0.0"
	if clusterIsIPv6(c, server) {
		bind = "::"
	}
	doc := map[string]any{
		"apiVersion":       "kubeproxy.config.k8s.io/v1alpha1",
		"kind":             "KubeProxyConfiguration",
		"bindAddress":      bind,
		"clusterCIDR":      c.PodSubnet,
		"clientConnection": map[string]any{"kubeconfig": kubeProxyDir + "/kubeconfig.conf"},
	}
	if isSince(c.Version, 37) { // said aloud since kube-proxy's own default is to become nftables
		doc["mode"] = "iptables"
	}
	return overlay(overlay(doc, c.gatedConfig()), c.KubeProxyConfig)
}

// kubeProxyKubeconfig uses the pod's own service account; the server is a real address, since Services do not work before kube-proxy.
func kubeProxyKubeconfig(server string) map[string]any {
	const name = "default"
	return map[string]any{
		"apiVersion": "v1",
		"kind":       "Config",
		"clusters": []any{map[string]any{
			"name":    name,
			"cluster": map[string]any{"certificate-authority": serviceTokenDir + "/ca.crt", "server": server},
		}},
		"contexts": []any{map[string]any{
			"name":    name,
			"context": map[string]any{"cluster": name, "namespace": "default", "user": name},
		}},
		"current-context": name,
		"users": []any{map[string]any{
			"name": name,
			"user": map[string]any{"tokenFile": serviceTokenDir + "/token"},
		}},
	}
}

func kubeProxyDaemonSet(c *Cluster, n *Node) (*appsv1.DaemonSet, error) {
	image, err := c.image(kubeProxyName)
	if err != nil {
		return nil, err
	}
	v := c.Version
	container := corev1.Container{
		Name:            kubeProxyName,
		Image:           image,
		ImagePullPolicy: corev1.PullIfNotPresent,
		Command:         []string{"/usr/local/bin/kube-proxy", "--config=" + kubeProxyDir + "/config.conf"},
		SecurityContext: &corev1.SecurityContext{Privileged: ptr.To(true)},
		VolumeMounts: []corev1.VolumeMount{
			{Name: kubeProxyName, MountPath: kubeProxyDir},
			{Name: "xtables-lock", MountPath: "/run/xtables.lock"},
			{Name: "lib-modules", MountPath: "/lib/modules", ReadOnly: true},
		},
	}
	if isSince(v, 13) {
		container.Command = append(container.Command, "--hostname-override=$(NODE_NAME)")
		container.Env = []corev1.EnvVar{{
			Name:      "NODE_NAME",
			ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "spec.nodeName"}},
		}}
	}
	if isSince(v, 17) {
		container.Env = append(container.Env, n.Proxy...)
	}
	labels := map[string]string{"k8s-app": kubeProxyName}
	template := corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: labels},
		Spec: corev1.PodSpec{
			Containers:         []corev1.Container{container},
			HostNetwork:        true,
			PriorityClassName:  pick(v, []row[string]{{since(11), "system-node-critical"}}),
			ServiceAccountName: kubeProxyName,
			NodeSelector:       kubeProxyNodes(v, image),
			Tolerations:        pick(v, kubeProxyTolerations),
			Volumes:            kubeProxyVolumes(),
		},
	}
	if between(11, 13).has(minorOf(v)) {
		template.Annotations = map[string]string{"scheduler.alpha.kubernetes.io/critical-pod": ""}
	}
	return &appsv1.DaemonSet{
		TypeMeta:   metav1.TypeMeta{APIVersion: "apps/v1", Kind: "DaemonSet"},
		ObjectMeta: metav1.ObjectMeta{Namespace: kubeSystem, Name: kubeProxyName, Labels: labels},
		Spec: appsv1.DaemonSetSpec{
			Selector:       &metav1.LabelSelector{MatchLabels: labels},
			UpdateStrategy: appsv1.DaemonSetUpdateStrategy{Type: appsv1.RollingUpdateDaemonSetStrategyType},
			Template:       template,
		},
	}, nil
}

// kubeProxyNodes: one architecture in 1.11, any node before and until 1.14, Linux since.
func kubeProxyNodes(v *version.Version, image string) map[string]string {
	switch {
	case minorOf(v) == 11:
		return archNodes(v, image)
	case isSince(v, 15):
		return pick(v, linuxNodes)
	}
	return nil
}

// kubeProxyTolerations: it must run everywhere; 1.10 listed the two taints it knew.
var kubeProxyTolerations = []row[[]corev1.Toleration]{
	{until(10), []corev1.Toleration{
		{Key: masterLabel, Effect: corev1.TaintEffectNoSchedule},
		{Key: "node.cloudprovider.kubernetes.io/uninitialized", Value: "true", Effect: corev1.TaintEffectNoSchedule},
	}},
	{between(11, 21), []corev1.Toleration{
		{Key: "CriticalAddonsOnly", Operator: corev1.TolerationOpExists},
		{Operator: corev1.TolerationOpExists},
	}},
	{since(22), []corev1.Toleration{{Operator: corev1.TolerationOpExists}}},
}

func kubeProxyVolumes() []corev1.Volume {
	return []corev1.Volume{
		{Name: kubeProxyName, VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{
			LocalObjectReference: corev1.LocalObjectReference{Name: kubeProxyName},
		}}},
		{Name: "xtables-lock", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{
			Path: "/run/xtables.lock", Type: ptr.To(corev1.HostPathFileOrCreate),
		}}},
		{Name: "lib-modules", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/lib/modules"}}},
	}
}
