package manifests

import (
	"strings"

	"k8s.io/apimachinery/pkg/util/version"
)

const (
	kubeletDir      = "/var/lib/kubelet"
	kubeletConfig   = kubeletDir + "/config.yaml"
	kubeletInstance = kubeletDir + "/instance-config.yaml"
	kubeletFlagsEnv = kubeletDir + "/kubeadm-flags.env"
	kubeletUnit     = "kubelet.service"
	kubeletDropIns  = "kubelet.service.d"
	systemdDir      = "/etc/systemd/system"
)

// KubeletUnits renders kubelet.service and 10-kubeadm.conf as upstream's packages install them: no site's values inside. Paths are
// relative to /etc/systemd/system. There are two generations: up to 1.10 everything is a flag in the drop-in, from 1.11 the kubelet
// reads config.yaml and kubeadm-flags.env (build/debs of kubernetes 1.10 and 1.16, templates of kubernetes/release; facts section 3.1).
func KubeletUnits(v *version.Version) []File {
	dropIn := kubeletDropIn()
	if !isSince(v, 11) {
		dropIn = kubeletFlagDropIn()
	}
	return []File{
		{Path: kubeletUnit, Mode: readableFileMode, Data: kubeletService(v).encode()},
		{Path: kubeletDropIns + "/10-kubeadm.conf", Mode: readableFileMode, Data: dropIn.encode()},
	}
}

// unit is a systemd unit file: sections in order, each with its lines in order.
type unit []section

type section struct {
	name  string
	lines []string
}

func (u unit) encode() []byte {
	var b strings.Builder
	for i, s := range u {
		if i > 0 {
			b.WriteString("\n")
		}
		b.WriteString("[" + s.name + "]\n")
		for _, l := range s.lines {
			b.WriteString(l + "\n")
		}
	}
	return []byte(b.String())
}

// kubeletService: packages of 1.19 and later wait for the network.
func kubeletService(v *version.Version) unit {
	head := []string{"Description=kubelet: The Kubernetes Node Agent", "Documentation=http://kubernetes.io/docs/"}
	if isSince(v, 19) {
		head = []string{
			"Description=kubelet: The Kubernetes Node Agent", "Documentation=https://kubernetes.io/docs/",
			"Wants=network-online.target", "After=network-online.target",
		}
	}
	return unit{
		{"Unit", head},
		{"Service", []string{"ExecStart=/usr/bin/kubelet", "Restart=always", "StartLimitInterval=0", "RestartSec=10"}},
		{"Install", []string{"WantedBy=multi-user.target"}},
	}
}

const kubeconfigFlags = "--bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf --kubeconfig=/etc/kubernetes/kubelet.conf"

// kubeletDropIn is the one since 1.11: KUBELET_KUBEADM_ARGS is ours, KUBELET_EXTRA_ARGS the user's.
func kubeletDropIn() unit {
	return unit{{"Service", []string{
		environment("KUBELET_KUBECONFIG_ARGS", kubeconfigFlags),
		environment("KUBELET_CONFIG_ARGS", "--config="+kubeletConfig),
		"EnvironmentFile=-" + kubeletFlagsEnv,
		"EnvironmentFile=-/etc/default/kubelet",
		"ExecStart=",
		"ExecStart=/usr/bin/kubelet $KUBELET_KUBECONFIG_ARGS $KUBELET_CONFIG_ARGS $KUBELET_KUBEADM_ARGS $KUBELET_EXTRA_ARGS",
	}}}
}

// kubeletFlagDropIn is the one up to 1.10; a second drop-in with the site's values overrides its variables (see kubeletFlagFiles).
func kubeletFlagDropIn() unit {
	return unit{{"Service", []string{
		environment("KUBELET_KUBECONFIG_ARGS", kubeconfigFlags),
		environment("KUBELET_SYSTEM_PODS_ARGS", "--pod-manifest-path=/etc/kubernetes/manifests --allow-privileged=true"),
		environment("KUBELET_NETWORK_ARGS", "--network-plugin=cni --cni-conf-dir=/etc/cni/net.d --cni-bin-dir=/opt/cni/bin"),
		environment("KUBELET_DNS_ARGS", "--cluster-dns=10.96.0.10 --cluster-domain=cluster.local"),
		environment("KUBELET_AUTHZ_ARGS", "--authorization-mode=Webhook --client-ca-file=/etc/kubernetes/pki/ca.crt"),
		environment("KUBELET_CGROUP_ARGS", "--cgroup-driver=cgroupfs"),
		environment("KUBELET_CADVISOR_ARGS", "--cadvisor-port=0"),
		environment("KUBELET_CERTIFICATE_ARGS", "--rotate-certificates=true"),
		"ExecStart=",
		"ExecStart=/usr/bin/kubelet $KUBELET_KUBECONFIG_ARGS $KUBELET_SYSTEM_PODS_ARGS $KUBELET_NETWORK_ARGS $KUBELET_DNS_ARGS " +
			"$KUBELET_AUTHZ_ARGS $KUBELET_CGROUP_ARGS $KUBELET_CADVISOR_ARGS $KUBELET_CERTIFICATE_ARGS $KUBELET_EXTRA_ARGS",
	}}}
}

// environment is one quoted Environment= line. systemd expands % in it and reads \ and " as escapes.
func environment(name, value string) string {
	return `Environment="` + name + "=" + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "%", "%%").Replace(value) + `"`
}
