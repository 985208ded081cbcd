package manifests

import (
	"path"

	corev1 "k8s.io/api/core/v1"
)

const schedulerConf = "scheduler.conf"

func schedulerPod(c *Cluster, n *Node) (*corev1.Pod, error) {
	kubeconfig := path.Join(kubernetesDir, schedulerConf)
	m := mounts{}
	m.add("kubeconfig", kubeconfig, true, corev1.HostPathFileOrCreate)
	m.addExtra(c.Scheduler.ExtraVolumes)
	return c.podFor(staticPod{
		name:      schedulerName,
		command:   command(schedulerName, schedulerArgs(c, kubeconfig), c.Scheduler.ExtraArgs),
		mounts:    m,
		health:    pick(c.Version, schedulerHealth),
		probeHost: c.listensOn(c.Scheduler),
		probePort: pick(c.Version, []row[int]{{until(15), schedulerOldPort}, {since(16), schedulerPort}}),
		requests:  cpu("100m"),
		env:       mergeEnv(n.Proxy, c.Scheduler.ExtraEnvs),
	})
}

// schedulerArgs are kubeadm's defaults (phases/controlplane of kubeadm 1.10 … 1.37; facts section 4.4).
func schedulerArgs(c *Cluster, kubeconfig string) []Arg {
	return append(flagsFor(c.Version, []argRow{
		{until(13), "address", ipv4Loopback},
		{since(14), "bind-address", ipv4Loopback},
		{since(16), "authentication-kubeconfig", kubeconfig},
		{since(16), "authorization-kubeconfig", kubeconfig},
		{always, "kubeconfig", kubeconfig},
		{always, "leader-elect", "true"},
		{between(16, 22), "port", "0"},
	}), c.gateArgs()...)
}
