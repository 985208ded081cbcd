package differential

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"path"
	"strings"
	"time"

	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/version"

	"kubebundle/bundle"
	"kubebundle/installer/cluster"
	"kubebundle/installer/config"
	"kubebundle/installer/host"
	"kubebundle/installer/phase"
	"kubebundle/installer/step"
	"kubebundle/manifests"
	"kubebundle/release"
	cruntime "kubebundle/runtime"
)

// machine is a machine in memory on which install's phases run.
type machine struct {
	*host.Memory

	scenario  scenario
	release   *release.Release
	snapshots []map[string]file // at each start of the kubelet
	state     *phase.State
}

const configPath = "/kubeadm.yaml"

// kubeletUnitDir is where the unit lies that InstallBinaries, which does not run here, would have written.
const kubeletUnitDir = "/etc/systemd/system"

func newMachine(v *version.Version, hostname, address string, s scenario, configText string) (*machine, error) {
	rel, err := release.Find(v, release.Options{})
	if err != nil {
		return nil, err
	}
	m := &machine{Memory: host.NewMemory(), scenario: s, release: rel}
	ip, network, err := net.ParseCIDR(address)
	if err != nil {
		return nil, err
	}
	m.FactsValue.Hostname, m.FactsValue.Addresses = hostname, []net.IPNet{{IP: ip, Mask: network.Mask}}
	m.FactsValue.ResolvedActive, m.FactsValue.Nameservers = s.Resolved, []string{"192.0.2.53"}
	for _, d := range caDirs {
		if err := m.MkdirAll(d, 0o755); err != nil {
			return nil, err
		}
	}
	files := map[string]string{configPath: configText, "/run/systemd/resolve/resolv.conf": "nameserver 192.0.2.53\n"}
	for p, text := range s.Files {
		files[p] = text
	}
	for p, text := range files {
		if err := m.WriteFile(p, []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	for _, f := range manifests.KubeletUnits(v) {
		if err := m.WriteFile(path.Join(kubeletUnitDir, f.Path), f.Data, f.Mode); err != nil {
			return nil, err
		}
	}
	m.OnUnit = m.unit
	return m, nil
}

// unit plays the kubelet, as the program in standin does for kubeadm.
func (m *machine) unit(op, unit string) error {
	if !strings.HasPrefix(unit, "kubelet") || op == "stop" {
		return nil
	}
	m.snapshots = append(m.snapshots, m.files())
	conf, err := m.ReadFile("/etc/kubernetes/kubelet.conf")
	if errors.Is(err, fs.ErrNotExist) {
		if conf, err = m.ReadFile("/etc/kubernetes/bootstrap-kubelet.conf"); err == nil {
			if err = m.WriteFile("/etc/kubernetes/kubelet.conf", conf, 0o600); err == nil {
				err = m.WriteFile(kubeletPEM, []byte("played"), 0o600)
			}
		}
		return err
	}
	if err != nil {
		return err
	}
	if strings.Contains(string(conf), "client-certificate-data") {
		return m.WriteFile(kubeletPEM, conf, 0o600)
	}
	return nil
}

const kubeletPEM = "/var/lib/kubelet/pki/kubelet-client-current.pem"

// files reads the compared folders.
func (m *machine) files() map[string]file {
	out := map[string]file{}
	for p := range m.Snapshot() {
		for _, dir := range compared {
			fi, err := m.Stat(p)
			if p != dir && !strings.HasPrefix(p, dir+"/") || err != nil || played(p) {
				continue
			}
			f := file{mode: fi.Mode()}
			if !fi.IsDir() {
				if f.data, err = m.ReadFile(p); err != nil {
					continue // cannot happen: it was there just now
				}
			}
			out[p] = f
		}
	}
	return out
}

func (m *machine) environment() config.Environment {
	return config.Environment{
		Hostname: m.FactsValue.Hostname, Addresses: m.FactsValue.Addresses,
		KubernetesVersion: release.Tag(m.release.Version),
	}
}

func (m *machine) newState() (*phase.State, error) {
	contract := &bundle.Contract{
		Format: bundle.FormatVersion, KubernetesVersion: release.Tag(m.release.Version), OS: "linux", Arch: "amd64", Builder: "test",
	}
	images, err := m.release.Images("amd64")
	if err != nil {
		return nil, err
	}
	for _, img := range images {
		contract.Images = append(contract.Images, bundle.Image{Ref: img.Ref, Component: string(img.Component)})
	}
	return &phase.State{
		Contract: contract, Release: m.release, Now: time.Now(), Rand: rand.Reader, Environ: m.scenario.Environ,
		Runtime: func(context.Context) (cruntime.Runtime, error) {
			return nil, errors.New("there is no container runtime on this machine")
		},
	}, nil
}

// init runs install's init against a server.
func (m *machine) init(ctx context.Context, server http.Handler) error {
	flags, err := parse(&config.InitFlags{}, "--config", configPath)
	if err != nil {
		return err
	}
	cfg, err := config.LoadInit(flags, m.ReadFile, m.environment())
	if err != nil {
		return err
	}
	if m.state, err = m.newState(); err != nil {
		return err
	}
	m.state.Init = cfg
	return m.run(ctx, server, phase.InitPhases())
}

// join runs install's join of a worker.
func (m *machine) join(ctx context.Context, server http.Handler, d phase.Discoverer) error {
	flags, err := parse(&config.JoinFlags{}, "--config", configPath)
	if err != nil {
		return err
	}
	env := m.environment()
	env.KubernetesVersion = ""
	cfg, err := config.LoadJoin(flags, nil, m.ReadFile, env)
	if err != nil {
		return err
	}
	if m.state, err = m.newState(); err != nil {
		return err
	}
	m.state.Join, m.state.Discovery = cfg, d
	return m.run(ctx, server, phase.JoinPhases())
}

func parse[F interface{ AddFlags(fs *pflag.FlagSet) }](f F, args ...string) (F, error) {
	fs := pflag.NewFlagSet("install", pflag.ContinueOnError)
	f.AddFlags(fs)
	return f, fs.Parse(args)
}

// run plans and applies, phase by phase, as the engine does. What is about the bundle's content, and what only looks, is left out.
func (m *machine) run(ctx context.Context, server http.Handler, phases []phase.Phase) error {
	srv := httptest.NewTLSServer(server)
	defer srv.Close()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
	kubeconfig, err := manifests.BootstrapKubeconfig(&manifests.Cluster{}, srv.URL, ca, token)
	if err != nil {
		return err
	}
	target := &step.Target{
		Host: m,
		Cluster: func(context.Context) (*cluster.Client, error) {
			return cluster.FromKubeconfig(kubeconfig, cluster.NewDialer())
		},
		Get: func(context.Context, string) (int, []byte, error) { return http.StatusOK, []byte("ok"), nil },
	}
	for _, p := range phases {
		switch p.(type) {
		case phase.Preflight, phase.InstallBinaries, phase.LoadImages, phase.KeepBundle, phase.IncludeFiles, phase.ServiceRoute,
			phase.ExtraManifests, phase.ShowJoinCommand: // of the bundle, the runtime and the terminal: kubeadm has nothing like them
			continue
		}
		steps, err := p.Plan(ctx, m.state, m)
		if err != nil {
			return fmt.Errorf("install: %s: %w", p.Name(), err)
		}
		for _, st := range steps {
			if ok, err := st.Satisfied(ctx, target); err != nil {
				return fmt.Errorf("install: %s: %s: %w", p.Name(), st, err)
			} else if ok {
				continue
			}
			if err := st.Apply(ctx, target); err != nil {
				return fmt.Errorf("install: %s: %s: %w", p.Name(), st, err)
			}
		}
	}
	return nil
}

// store is a cluster whose ConfigMaps our join reads; how it finds and checks them has its own tests.
type store struct {
	server *apiServer
	info   *cluster.ClusterInfo
}

func (s store) ClusterInfo(context.Context) (*cluster.ClusterInfo, error) { return s.info, nil }

func (s store) ConfigMaps(_ context.Context, _ *cluster.ClusterInfo) (kubeadm, kubelet *corev1.ConfigMap, err error) {
	if kubeadm, err = s.configMap("kubeadm-config"); err != nil {
		return nil, nil, err
	}
	kubelet, err = s.configMap("kubelet-config")
	return kubeadm, kubelet, err
}

func (s store) configMap(name string) (*corev1.ConfigMap, error) {
	obj := s.server.get("/api/v1/namespaces/kube-system/configmaps/" + name)
	if obj == nil {
		return nil, fmt.Errorf("the cluster has no ConfigMap %s", name)
	}
	raw, err := json.Marshal(obj)
	if err != nil {
		return nil, err
	}
	var cm corev1.ConfigMap
	return &cm, json.Unmarshal(raw, &cm)
}
