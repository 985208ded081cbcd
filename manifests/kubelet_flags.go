package manifests

import (
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"
	"unicode"
)

const (
	dockershimSocket = "/var/run/dockershim.sock"
	kubeletFlagsVar  = "KUBELET_KUBEADM_ARGS"
)

// kubeletFlags is kubeadm-flags.env: the arguments that only this node has (kubeadm 1.11 … 1.36 phases/kubelet/flags.go; facts
// section 3.2). doc is the configuration that the kubelet will read beside them.
//
// Two things are ours: --node-ip, because a host without default route finds no address of its own, and the pause image for every
// runtime and version whose kubelet knows the flag (kubeadm: docker only up to 1.20), because an image that the kubelet does not know
// to be the sandbox can be collected as garbage, and nothing could bring it back.
func kubeletFlags(c *Cluster, n *Node, doc map[string]any) ([]byte, error) {
	args, err := nodeFlags(c, n, doc)
	if err != nil {
		return nil, err
	}
	line, err := flagLine(mergeArgs(args, n.KubeletExtraArgs))
	if err != nil {
		return nil, err
	}
	return []byte(kubeletFlagsVar + "=" + strconv.Quote(line) + "\n"), nil
}

// nodeFlags are the defaults for this node, any version.
func nodeFlags(c *Cluster, n *Node, doc map[string]any) ([]Arg, error) {
	socket := c.criSocket(n)
	var flags []argRow
	if socket == dockershimSocket {
		flags = append(flags, argRow{between(11, 23), "network-plugin", "cni"})
	} else {
		flags = append(flags, argRow{until(26), "container-runtime", "remote"})
		if !c.enabled(nodeLocalCRISocket) {
			flags = append(flags, argRow{always, "container-runtime-endpoint", socket})
		}
	}
	if pause := c.Images["pause"]; pause != "" {
		flags = append(flags, argRow{until(34), "pod-infra-container-image", pause})
	}
	if n.Hostname != n.Name {
		flags = append(flags, argRow{always, "hostname-override", n.Name})
	}
	if n.ResolvConf != "" && doc["resolvConf"] == nil {
		flags = append(flags, argRow{until(18), "resolv-conf", n.ResolvConf})
	}
	if n.CgroupDriver != "" && doc["cgroupDriver"] == nil {
		flags = append(flags, argRow{between(11, 21), "cgroup-driver", n.CgroupDriver})
	}
	// A control plane node is tainted after it has registered; a worker says so itself.
	if !n.ControlPlane && len(n.Taints) > 0 {
		taints := make([]string, 0, len(n.Taints))
		for _, t := range n.Taints {
			taints = append(taints, t.ToString())
		}
		flags = append(flags, argRow{always, "register-with-taints", strings.Join(taints, ",")})
	}
	if c.DynamicKubelet() {
		flags = append(flags, argRow{always, "dynamic-config-dir", dynamicConfigDir})
	}
	args := flagsFor(c.Version, flags)
	switch _, given := argValue(n.KubeletExtraArgs, "node-ip"); {
	case n.AdvertiseAddress != nil:
		args = append(args, Arg{"node-ip", n.AdvertiseAddress.String()})
	case !given:
		return nil, errors.New("render kubelet flags: the node has no address; give --apiserver-advertise-address or the kubelet's node-ip")
	}
	return args, nil
}

// flagLine joins arguments as systemd will split them again: at white space, with no way to quote it.
func flagLine(args []Arg) (string, error) {
	for _, a := range args {
		if strings.ContainsFunc(a.Name+a.Value, unicode.IsSpace) {
			return "", fmt.Errorf("render kubelet flags: --%s has white space in its value %q, which systemd would split", a.Name, a.Value)
		}
	}
	return strings.Join(asFlags(args), " "), nil
}

// kubeletFlagFiles are the files of v1.10: a drop-in after upstream's that sets the same variables to this site's values. The user's
// KubeletConfiguration, where there is one, becomes a file as well; the kubelet gives its flags precedence over it, so those that it may
// set are taken from the merged document.
func kubeletFlagFiles(c *Cluster, n *Node, doc map[string]any) ([]File, error) {
	args, err := nodeFlags(c, n, doc)
	if err != nil {
		return nil, err
	}
	if c.criSocket(n) != dockershimSocket {
		args = append(args, Arg{"runtime-request-timeout", "15m"})
	}
	var files []File
	given, at := overlay(map[string]any{"apiVersion": doc["apiVersion"], "kind": doc["kind"]}, c.KubeletConfig), kubeletConfig
	more := n.KubeletExtraArgs
	if c.DynamicKubelet() { // kubeadm left the flags of it to who wrote the unit
		given, at, more = doc, baseConfigFile, withGate(more, dynamicGate)
	}
	if len(c.KubeletConfig) > 0 || c.DynamicKubelet() {
		data, err := encodeMap(given)
		if err != nil {
			return nil, fmt.Errorf("render %s: %w", at, err)
		}
		files = append(files, File{Path: at, Mode: readableFileMode, Data: data})
		args = append(args, Arg{"config", at})
	}
	extra, err := flagLine(mergeArgs(args, more))
	if err != nil {
		return nil, err
	}
	lines := []string{
		environment("KUBELET_DNS_ARGS", "--cluster-dns="+joinStrings(doc["clusterDNS"])+" --cluster-domain="+text(doc, "clusterDomain")),
		environment("KUBELET_AUTHZ_ARGS", "--authorization-mode="+text(doc, "authorization", "mode")+
			" --client-ca-file="+text(doc, "authentication", "x509", "clientCAFile")),
	}
	driver := n.CgroupDriver
	if given := text(doc, "cgroupDriver"); given != "" {
		driver = given
	}
	if driver != "" {
		lines = append(lines, environment("KUBELET_CGROUP_ARGS", "--cgroup-driver="+driver))
	}
	lines = append(lines, environment("KUBELET_EXTRA_ARGS", extra))
	return append(files, File{
		Path: path.Join(systemdDir, kubeletDropIns, "20-kubebundle.conf"),
		Mode: readableFileMode,
		Data: unit{{"Service", lines}}.encode(),
	}), nil
}

// text reads a string inside nested objects, "" where it is not.
func text(doc map[string]any, keys ...string) string {
	for _, k := range keys[:len(keys)-1] {
		doc, _ = doc[k].(map[string]any)
	}
	s, _ := doc[keys[len(keys)-1]].(string)
	return s
}

// joinStrings joins the strings of a JSON list with commas.
func joinStrings(list any) string {
	items, _ := list.([]any)
	out := make([]string, 0, len(items))
	for _, i := range items {
		if s, ok := i.(string); ok {
			out = append(out, s)
		}
	}
	return strings.Join(out, ",")
}
