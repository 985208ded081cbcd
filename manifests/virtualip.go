package manifests

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// VirtualIP is an address that belongs to one of the control planes, and to another one when that is gone: keepalived (VRRP) moves it, and
// on every control plane HAProxy answers on its port and hands connections to an API server that is healthy.
//
// A node's HAProxy knows the API servers that were there when the node joined, its own among them. Those that joined later are not in it, and
// need not be: whoever holds the address has at least itself.
type VirtualIP struct {
	Address  net.IP
	Port     int      // of HAProxy; the API servers keep theirs
	RouterID int      // VRRP's number of this address on its network, 1 to 255
	Servers  []string // host:port of the API servers, without this node's
}

// What HAProxy and keepalived read.
const (
	KeepalivedDir = "/etc/keepalived"
	HAProxyDir    = "/etc/haproxy"
	keepalived    = "keepalived"
	haproxy       = "haproxy"

	// KeepalivedConf says what this node may hold.
	KeepalivedConf = KeepalivedDir + "/keepalived.conf"

	checkScript   = KeepalivedDir + "/check_apiserver.sh"
	leavingScript = KeepalivedDir + "/check_leaving.sh"
	haproxyConf   = HAProxyDir + "/haproxy.cfg"

	// VirtualIPLeaving is a file: while it is there this node gives the address to another one that can hold it.
	VirtualIPLeaving = KeepalivedDir + "/leaving"
	// VirtualIPAnnotation, on both static pods, is over the configuration that they read: the kubelet starts them anew when it changes.
	VirtualIPAnnotation = "kubebundle.io/virtual-ip"

	// VirtualIPConfigMap tells joining control planes.
	VirtualIPConfigMap = "kubebundle-virtual-ip"
)

// Endpoint is what controlPlaneEndpoint says then.
func (v *VirtualIP) Endpoint() string {
	return net.JoinHostPort(v.Address.String(), strconv.Itoa(v.Port))
}

// VirtualIPFiles renders the configurations and the two static pods. iface is the node's interface on the address's network.
func VirtualIPFiles(c *Cluster, n *Node, v *VirtualIP, iface string) ([]File, error) {
	if n.AdvertiseAddress == nil || iface == "" {
		return nil, errors.New("render the virtual IP: the node's address and its interface are needed")
	}
	files := []File{
		{Path: haproxyConf, Mode: readableFileMode, Data: haproxyConfig(c, n, v)},
		{Path: checkScript, Mode: 0o755, Data: checkAPIServer(c, n, v)}, // keepalived runs it only if nobody else may write it
		{Path: leavingScript, Mode: 0o755, Data: checkLeaving()},
		{Path: KeepalivedConf, Mode: readableFileMode, Data: keepalivedConfig(n, v, iface)},
	}
	for _, pod := range []struct {
		render func(*Cluster) (*corev1.Pod, error)
		reads  []File
	}{{haproxyPod, files[:1]}, {keepalivedPod, files[1:]}} {
		p, err := pod.render(c)
		if err != nil {
			return nil, fmt.Errorf("render the virtual IP: %w", err)
		}
		metav1.SetMetaDataAnnotation(&p.ObjectMeta, VirtualIPAnnotation, digest(pod.reads))
		data, err := Encode(p)
		if err != nil {
			return nil, fmt.Errorf("render the virtual IP: %w", err)
		}
		files = append(files, File{Path: path.Join(manifestsDir, p.Name+".yaml"), Mode: secretFileMode, Data: data})
	}
	return files, nil
}

// digest is over the content of files.
func digest(files []File) string {
	h := sha256.New()
	for _, f := range files {
		fmt.Fprintf(h, "%s %d\n%s", f.Path, len(f.Data), f.Data)
	}
	return hex.EncodeToString(h.Sum(nil))[:16]
}

// health is what an API server answers when it serves everybody: /readyz came with v1.16.
func (c *Cluster) health() string {
	if isSince(c.Version, 16) {
		return "/readyz"
	}
	return "/healthz"
}

// apiServer is where this node's API server listens.
func (n *Node) apiServer() string {
	return net.JoinHostPort(n.AdvertiseAddress.String(), strconv.Itoa(n.BindPort))
}

// haproxyConfig checks the API servers as clients see them: with their certificates. Whoever asks without a name is told 401 where
// anonymous requests are switched off; that is an answer too. 403 is none: an API server that has just begun to listen says so to everybody until it
// has read who may do what.
//
// A connection that one API server refuses, or does not take in time, goes to another one before the client hears of it. Between the end of an API
// server and the check that finds it this is all that helps.
func haproxyConfig(c *Cluster, n *Node, v *VirtualIP) []byte {
	var b strings.Builder
	bind := "*"
	if v.Address.To4() == nil {
		bind = "[::]"
	}
	fmt.Fprintf(&b, `# Written by install: the API servers behind the virtual IP %s.
global
    log stdout format raw local0 notice
    maxconn 4096
    # Told to end, it would wait for the last watch.
    hard-stop-after 5s

defaults
    mode tcp
    log global
    retries 3
    option redispatch 1
    timeout connect 2s
    timeout check 3s
    # A watch may be silent for long.
    timeout client 1h
    timeout server 1h

frontend kube-apiserver
    bind %s:%d
    default_backend kube-apiserver

backend kube-apiserver
    balance roundrobin
    option httpchk GET %s
    http-check expect rstatus ^(200|401)$
    default-server check check-ssl verify required ca-file %s inter 1s fastinter 500ms fall 2 rise 2 slowstart 5s on-marked-down shutdown-sessions
`, v.Address, bind, v.Port, c.health(), c.pki("ca.crt"))
	fmt.Fprintf(&b, "    server %s %s\n", n.Name, n.apiServer())
	for i, s := range v.Servers {
		if s != n.apiServer() {
			fmt.Fprintf(&b, "    server other-%d %s\n", i+1, s)
		}
	}
	return []byte(b.String())
}

// WithLength is an address as keepalived puts it on an interface: 10.0.0.100/32.
func WithLength(address net.IP) string {
	if address.To4() == nil {
		return address.String() + "/128"
	}
	return address.String() + "/32"
}

var (
	heldAddress   = regexp.MustCompile(`virtual_ipaddress \{\s+([0-9a-fA-F.:]+)/`)
	heldInterface = regexp.MustCompile(`(?m)^ +interface (\S+)$`)
)

// HeldAddress reads the address and the interface out of a configuration of keepalived that VirtualIPFiles made; nil if it is another's.
func HeldAddress(conf []byte) (address net.IP, iface string) {
	a, i := heldAddress.FindSubmatch(conf), heldInterface.FindSubmatch(conf)
	if a == nil || i == nil {
		return nil, ""
	}
	return net.ParseIP(string(a[1])), string(i[1])
}

func keepalivedConfig(n *Node, v *VirtualIP, iface string) []byte {
	return fmt.Appendf(nil, `# Written by install: who holds the virtual IP %[1]s.
global_defs {
    router_id %[2]s
    vrrp_version 3
    script_user root
    enable_script_security
}

# That the holder is gone is told by its silence. This is for one whose HAProxy is; a busy host must not be taken for it.
vrrp_script apiserver {
    script "%[3]s"
    interval 2
    timeout 6
    fall 3
    rise 1
}

vrrp_script staying {
    script "%[7]s"
    interval 1
    timeout 10
    weight -50
    fall 1
    rise 1
}

# All begin as backups of one priority, so none takes the address from another: it moves when its holder is gone, and not back. One that
# is leaving has a lower priority, and keeps the address until another one has taken it.
vrrp_instance kubernetes {
    state BACKUP
    interface %[4]s
    virtual_router_id %[5]d
    priority 100
    advert_int 1
    virtual_ipaddress {
        %[6]s
    }
    track_script {
        apiserver
        staying
    }
}
`, v.Address, n.Name, checkScript, iface, v.RouterID, WithLength(v.Address), leavingScript)
}

// checkAPIServer asks through this node's HAProxy, so that a node without it gives the address away too. It asks for the virtual IP, which is the
// name that the certificates of all API servers have.
func checkAPIServer(c *Cluster, n *Node, v *VirtualIP) []byte {
	return fmt.Appendf(nil, `#!/bin/sh
# Written by install: may this node hold the virtual IP? Only if an API server answers through its HAProxy.
code=$(curl -s -o /dev/null -w '%%{http_code}' --max-time 5 --cacert %s --connect-to ::%s https://%s%s)
case $code in 200|401) exit 0 ;; esac
exit 1
`, c.pki("ca.crt"), net.JoinHostPort(n.AdvertiseAddress.String(), strconv.Itoa(v.Port)), v.Endpoint(), c.health())
}

func checkLeaving() []byte {
	return fmt.Appendf(nil, `#!/bin/sh
# Written by install: shall this node hold the virtual IP? Not if another one can while it is upgraded or reset.
test ! -e %s
`, VirtualIPLeaving)
}

func haproxyPod(c *Cluster) (*corev1.Pod, error) {
	return c.virtualIPPod(haproxy, []string{haproxy, "-W", "-db", "-f", haproxyConf}, HAProxyDir, nil)
}

func keepalivedPod(c *Cluster) (*corev1.Pod, error) {
	caps := []corev1.Capability{"NET_ADMIN", "NET_BROADCAST", "NET_RAW"}
	return c.virtualIPPod(keepalived, []string{keepalived, "--dont-fork", "--log-console", "--use-file", KeepalivedConf}, KeepalivedDir, caps)
}

// virtualIPPod is a static pod that sees its own configuration and the cluster's CA.
func (c *Cluster) virtualIPPod(name string, cmd []string, dir string, caps []corev1.Capability) (*corev1.Pod, error) {
	m := mounts{}
	m.add("config", dir, true, corev1.HostPathDirectory)
	m.add("ca", c.pki("ca.crt"), true, corev1.HostPathFile)
	pod, err := c.podFor(staticPod{name: name, command: cmd, mounts: m})
	if err != nil {
		return nil, err
	}
	ctr := &pod.Spec.Containers[0]
	if len(caps) > 0 {
		ctr.SecurityContext = &corev1.SecurityContext{Capabilities: &corev1.Capabilities{Add: caps}}
	}
	return pod, nil
}

// VirtualIPObjects keep the address in the cluster for those that join, with the API servers that are there.
func VirtualIPObjects(n *Node, v *VirtualIP) []runtime.Object {
	servers := slices.Clone(v.Servers)
	if !slices.Contains(servers, n.apiServer()) {
		servers = append(servers, n.apiServer())
	}
	return []runtime.Object{
		&corev1.ConfigMap{
			TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
			ObjectMeta: metav1.ObjectMeta{Namespace: kubeSystem, Name: VirtualIPConfigMap},
			Data: map[string]string{
				"address": v.Address.String(), "port": strconv.Itoa(v.Port), "routerID": strconv.Itoa(v.RouterID), "servers": strings.Join(servers, " "),
			},
		},
		configMapReader(VirtualIPConfigMap, VirtualIPConfigMap),
		roleBinding(kubeSystem, VirtualIPConfigMap, group(defaultTokenGroup)),
	}
}

// ParseVirtualIP reads what VirtualIPObjects made.
func ParseVirtualIP(cm *corev1.ConfigMap) (*VirtualIP, error) {
	v := &VirtualIP{Address: net.ParseIP(cm.Data["address"]), Servers: strings.Fields(cm.Data["servers"])}
	var err1, err2 error
	v.Port, err1 = strconv.Atoi(cm.Data["port"])
	v.RouterID, err2 = strconv.Atoi(cm.Data["routerID"])
	for _, s := range v.Servers { // they go into a configuration file
		if host, port, err := net.SplitHostPort(s); err != nil || net.ParseIP(host) == nil || strings.Trim(port, "0123456789") != "" {
			return nil, fmt.Errorf("ConfigMap kube-system/%s: server %q is no IP:PORT", cm.Name, s)
		}
	}
	if v.Address == nil || err1 != nil || err2 != nil || v.Port < 1 || v.Port > 65535 || v.RouterID < 1 || v.RouterID > 255 {
		return nil, fmt.Errorf("ConfigMap kube-system/%s: want address, port and routerID, got %v", cm.Name, cm.Data)
	}
	return v, nil
}
