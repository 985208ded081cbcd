package clusters

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"kubebundle/test/lab/hosts"
)

// kubeadm needs these by hand on hosts without a default route; ours must not (seen with v1.34.4).
const kubeletUnit = `[Unit]
Description=kubelet
After=network-online.target containerd.service

[Service]
EnvironmentFile=-/var/lib/kubelet/kubeadm-flags.env
ExecStart=/usr/bin/kubelet --bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf --kubeconfig=/etc/kubernetes/kubelet.conf --config=/var/lib/kubelet/config.yaml $KUBELET_KUBEADM_ARGS
Restart=always
RestartSec=1
StartLimitInterval=0

[Install]
WantedBy=multi-user.target
`

const serviceRouteUnit = `[Unit]
Description=route to the services: there is no default route
After=systemd-networkd.service network-online.target
Before=kubelet.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/sbin/ip route replace ` + ServiceCIDR + ` dev host0

[Install]
WantedBy=multi-user.target
`

// Timing is how long the parts of an installation took.
type Timing struct {
	Start  time.Time // of the first import, or of init where there was none
	Import time.Duration
	Init   time.Duration
	Join   time.Duration
}

// Kubeadm makes a cluster with kubeadm, its images imported with ctr: the yardstick.
func (e *Env) Kubeadm(ctx context.Context, workers int, rt hosts.Runtime) (*Cluster, error) {
	c := &Cluster{Env: e}
	for i := range 1 + workers {
		h, err := e.Lab.Create(ctx, hostName(i, 1), rt)
		if err != nil {
			return c, err
		}
		c.Hosts = append(c.Hosts, h)
		t, err := e.PrepareForKubeadm(ctx, h)
		if err != nil {
			return c, err
		}
		if i == 0 {
			c.Timing.Start = time.Now().Add(-t)
		}
		c.Timing.Import = max(c.Timing.Import, t)
	}
	if err := e.kubeadmInit(ctx, c); err != nil {
		return c, err
	}
	if err := c.FetchKubeconfig(ctx); err != nil {
		return c, err
	}
	for _, f := range e.Manifests {
		if err := c.Apply(ctx, f); err != nil {
			return c, err
		}
	}
	for _, h := range c.Hosts[1:] {
		if err := c.KubeadmJoin(ctx, h); err != nil {
			return c, err
		}
	}
	return c, c.AwaitReady(ctx)
}

func (e *Env) kubeadmInit(ctx context.Context, c *Cluster) error {
	h := c.Hosts[0]
	more := fmt.Sprintf("apiVersion: kubeadm.k8s.io/v1beta4\nkind: InitConfiguration\nlocalAPIEndpoint: {advertiseAddress: %[1]s}\n"+
		"nodeRegistration: {kubeletExtraArgs: [{name: node-ip, value: %[1]s}]}\n", h.IP)
	cfg, err := InitConfig(e.Lab.Machine, e.Upstream.Version, "", more)
	if err != nil {
		return err
	}
	cfg = strings.Replace(cfg, "kind: KubeletConfiguration\n", "kind: KubeletConfiguration\ncgroupDriver: cgroupfs\n", 1)
	if err := h.WriteFile("/root/kubeadm.yaml", []byte(cfg), 0o600); err != nil {
		return err
	}
	start := time.Now()
	if err := h.Run(ctx, "kubeadm", "init", "--config", "/root/kubeadm.yaml", "--ignore-preflight-errors", KubeadmIgnores); err != nil {
		return err
	}
	c.Timing.Init = time.Since(start)
	return nil
}

// PrepareForKubeadm puts on a host what packages would, and the images of the release. It tells how long the images took.
func (e *Env) PrepareForKubeadm(ctx context.Context, h *hosts.Host) (time.Duration, error) {
	if err := e.kubeadmHost(ctx, h); err != nil {
		return 0, fmt.Errorf("prepare %s for kubeadm: %w", h.Name, err)
	}
	return e.ImportImages(ctx, h)
}

// ImportImages imports all images of the release with ctr. It tells how long that took.
func (e *Env) ImportImages(ctx context.Context, h *hosts.Host) (time.Duration, error) {
	archive, err := e.imageArchive(ctx)
	if err != nil {
		return 0, err
	}
	return importWithCtr(ctx, h, archive)
}

// CarryProgram brings one of Kubernetes' programs of this version to /usr/bin of a host, as a package does: running processes keep the former one.
func (e *Env) CarryProgram(ctx context.Context, h *hosts.Host, name string) error {
	k8s, err := e.Builder.Kubernetes(ctx, e.Upstream.Version, runtime.GOARCH)
	if err != nil {
		return err
	}
	if err := h.CopyIn(ctx, filepath.Join(k8s, name), "/usr/bin/."+name+".new"); err != nil {
		return err
	}
	return h.Run(ctx, "mv", "-f", "/usr/bin/."+name+".new", "/usr/bin/"+name)
}

// KubeadmIgnores are the preflight errors of kubeadm's that the lab's machine causes.
const KubeadmIgnores = "SystemVerification,Swap,Mem,NumCPU"

// KubeadmJoin joins a host that is prepared, with a token that kubeadm makes on the first one.
func (c *Cluster) KubeadmJoin(ctx context.Context, h *hosts.Host) error {
	join, err := c.Hosts[0].Output(ctx, "kubeadm", "token", "create", "--print-join-command")
	if err != nil {
		return err
	}
	f := strings.Fields(join) // kubeadm join ADDR --token T --discovery-token-ca-cert-hash H
	if len(f) != 7 {
		return fmt.Errorf("kubeadm's join command is %q", join)
	}
	cfg := fmt.Sprintf("apiVersion: kubeadm.k8s.io/v1beta4\nkind: JoinConfiguration\ndiscovery:\n  bootstrapToken:\n"+
		"    apiServerEndpoint: %s\n    token: %s\n    caCertHashes: [%q]\nnodeRegistration: {kubeletExtraArgs: [{name: node-ip, value: %s}]}\n",
		f[2], f[4], f[6], h.IP)
	if err := h.WriteFile("/root/kubeadm-join.yaml", []byte(cfg), 0o600); err != nil {
		return err
	}
	start := time.Now()
	if err := h.Run(ctx, "kubeadm", "join", "--config", "/root/kubeadm-join.yaml", "--ignore-preflight-errors", KubeadmIgnores); err != nil {
		return err
	}
	c.Timing.Join = max(c.Timing.Join, time.Since(start))
	return nil
}

// kubeadmHost puts on a host what packages would: kubelet, kubeadm, kubectl, CNI plugins, units, the pause image's name.
func (e *Env) kubeadmHost(ctx context.Context, h *hosts.Host) error {
	for _, n := range []string{"kubelet", "kubeadm", "kubectl"} {
		if err := e.CarryProgram(ctx, h, n); err != nil {
			return err
		}
	}
	cni, err := e.Builder.CNIPlugins(ctx, runtime.GOARCH)
	if err != nil {
		return err
	}
	if err := h.CopyIn(ctx, cni, "/opt/cni/bin"); err != nil {
		return err
	}
	pause, err := e.pause()
	if err != nil {
		return err
	}
	conf, err := os.ReadFile(filepath.Join(h.Root(), "etc/containerd/config.toml"))
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	files := map[string]string{
		"/etc/systemd/system/kubelet.service":           kubeletUnit,
		"/etc/systemd/system/lab-service-route.service": serviceRouteUnit,
		// kubeadm's CoreDNS crash-loops with an empty one. Nothing answers there.
		"/etc/resolv.conf":            "nameserver " + h.Gateway().String() + "\n",
		"/etc/containerd/config.toml": withSandbox(string(conf), h.Runtime, pause),
	}
	for p, text := range files {
		if err := h.WriteFile(p, []byte(text), 0o644); err != nil {
			return err
		}
	}
	for _, cmd := range [][]string{
		{"systemctl", "daemon-reload"},
		{"systemctl", "restart", "containerd"},
		{"systemctl", "enable", "kubelet"},
		{"systemctl", "enable", "--now", "lab-service-route"},
	} {
		if err := h.Run(ctx, cmd...); err != nil {
			return err
		}
	}
	return Forwarding(ctx, h)
}

func withSandbox(conf string, rt hosts.Runtime, pause string) string {
	if rt == hosts.Containerd2 {
		if conf == "" {
			conf = "version = 3\n"
		}
		return conf + fmt.Sprintf("\n[plugins.\"io.containerd.cri.v1.images\".pinned_images]\n  sandbox = %q\n", pause)
	}
	header := "[plugins.\"io.containerd.grpc.v1.cri\"]\n"
	if !strings.Contains(conf, header) {
		conf += "version = 2\n\n" + header
	}
	return strings.Replace(conf, header, header+fmt.Sprintf("  sandbox_image = %q\n", pause), 1)
}

func importWithCtr(ctx context.Context, h *hosts.Host, archive string) (time.Duration, error) {
	f, err := os.Open(archive)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	var out bytes.Buffer
	start := time.Now()
	err = h.Exec(ctx, hosts.Streams{In: f, Out: &out}, "ctr", "-n", "k8s.io", "images", "import", "-")
	return time.Since(start), err
}

// Archives of images for ctr. The pause image is the one that the release names.
func (e *Env) pause() (string, error) {
	for _, i := range e.Upstream.Images {
		if strings.Contains(i.Ref(), "/pause:") {
			return i.Ref(), nil
		}
	}
	return "", fmt.Errorf("no pause image in %s", e.Upstream.Version)
}
