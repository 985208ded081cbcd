package clusters

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/util/version"

	"kubebundle/test/lab/hosts"
)

// PodCIDR is the pods' network; flannel's manifest names the same.
const (
	PodCIDR     = "10.244.0.0/16"
	ServiceCIDR = "10.96.0.0/12"
)

// docs are the documents that every lab cluster gets, whoever makes it: the lab's own settings and nothing that the
// installer should know by itself.
func docs(m hosts.Machine, v string) ([]string, error) {
	parsed, err := version.ParseGeneric(v)
	if err != nil {
		return nil, err
	}
	kubelet := "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n" +
		// The machine's disk may be nearly full by percentage, and two hosts share its memory.
		"evictionHard: {nodefs.available: 1Gi, imagefs.available: 1Gi, memory.available: 100Mi}\n" +
		"imageGCHighThresholdPercent: 100\n"
	if parsed.AtLeast(version.MustParseGeneric("1.20.0")) {
		kubelet += "shutdownGracePeriod: 0s\n" // a reboot in a test waits for this
	}
	// Needed from v1.35 on, and known some versions before: a cluster that is upgraded has it by then.
	if len(m.CgroupV1) > 1 && parsed.AtLeast(version.MustParseGeneric("1.33.0")) {
		kubelet += "failCgroupV1: false\n"
	}
	out := []string{kubelet}
	if !m.SysResource { // then nf_conntrack_max cannot be written either: the namespaces are not the first ones
		out = append(out, "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nconntrack: {maxPerCore: 0, min: 0}\n")
	}
	return out, nil
}

// InitConfig is a configuration file for `init`, ours or kubeadm's. endpoint is the address that control planes share; "" where there is one.
func InitConfig(m hosts.Machine, v, endpoint string, more ...string) (string, error) {
	d, err := docs(m, v)
	if err != nil {
		return "", err
	}
	cluster := fmt.Sprintf("apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\nkubernetesVersion: %s\n"+
		"networking: {podSubnet: %s}\n", v, PodCIDR)
	if endpoint != "" {
		cluster += "controlPlaneEndpoint: " + endpoint + "\n"
	}
	d = append(d, cluster)
	return strings.Join(append(d, more...), "---\n"), nil
}

// CRIDockerdSocket is where cri-dockerd serves CRI.
const CRIDockerdSocket = "unix:///var/run/cri-dockerd.sock"

// RuntimeDocs says which runtime is meant where the installer finds two: beside cri-dockerd there is Docker's own containerd.
func RuntimeDocs(rt hosts.Runtime) []string {
	if rt != hosts.CRIDockerd {
		return nil
	}
	return []string{"apiVersion: kubeadm.k8s.io/v1beta4\nkind: InitConfiguration\nnodeRegistration: {criSocket: \"" + CRIDockerdSocket + "\"}\n"}
}

// JoinFlags are what the lab adds to a join command on hosts with a runtime.
func JoinFlags(rt hosts.Runtime) []string {
	if rt != hosts.CRIDockerd {
		return []string{"--configure-runtime"}
	}
	return []string{"--configure-runtime", "--cri-socket", CRIDockerdSocket}
}
