package phase

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"path"

	"golang.org/x/sync/errgroup"
	"sigs.k8s.io/yaml"

	"kubebundle/installer/host"
	"kubebundle/installer/pki"
	"kubebundle/installer/step"
	"kubebundle/manifests"
)

const (
	adminConf     = "/etc/kubernetes/admin.conf"
	kubeletConf   = "/etc/kubernetes/kubelet.conf"
	bootstrapConf = "/etc/kubernetes/bootstrap-kubelet.conf"
	manifestsDir  = "/etc/kubernetes/manifests"
	kubeletClient = "/var/lib/kubelet/pki/kubelet-client-current.pem"
)

// Kubeconfig is the kubeconfigs of a control plane node.
type Kubeconfig struct{}

// Name is kubeadm's.
func (Kubeconfig) Name() string { return "kubeconfig" }

// Parts are kubeadm's sub-phases.
func (Kubeconfig) Parts() []string {
	return []string{"admin", "super-admin", "kubelet", "controller-manager", "scheduler"}
}

// Plan writes the kubeconfigs that are missing. super-admin.conf comes before admin.conf: where only admin.conf is left, the
// administrator has put the other one away, as the documentation advises, and it is not made again.
func (p Kubeconfig) Plan(ctx context.Context, s *State, r host.Reader) ([]step.Step, error) {
	c, n, err := s.initCluster(ctx, r)
	if err != nil {
		return nil, err
	}
	if err := s.ensureKubeconfigs(c, n, r); err != nil {
		return nil, err
	}
	var super, rest []step.Step
	for _, spec := range s.kubeconfigSpecs(c, n) {
		data := s.Kubeconfigs[spec.Name]
		if data == nil || !s.wants(p.Name(), spec.Name) {
			continue
		}
		f := step.File{Path: spec.Path, Mode: 0o600, Data: data, Secret: true}
		if spec.Name == "super-admin" {
			super = append(super, f)
			continue
		}
		rest = append(rest, f)
	}
	return append(super, rest...), nil
}

// ensureKubeconfigs fills s.Kubeconfigs: from the host where they are there and fit, else new.
func (s *State) ensureKubeconfigs(c *manifests.Cluster, n *manifests.Node, r host.Reader) error {
	if s.Kubeconfigs != nil {
		return nil
	}
	certs, err := manifests.Certificates(c, n)
	if err != nil {
		return err
	}
	if err := s.ensureCerts(c, certs, r); err != nil {
		return err
	}
	ca := s.Certs["ca"]
	if ca == nil {
		return &NoCAError{Path: path.Join(c.CertificatesDir, "ca.crt"), For: "kubeconfigs", Part: "certs/ca", Join: s.Join != nil}
	}
	specs := s.kubeconfigSpecs(c, n)
	out := make([][]byte, len(specs))
	var errs []error
	var work errgroup.Group
	for i, spec := range specs {
		have, err := r.ReadFile(spec.Path)
		switch {
		case err == nil:
			if err := s.checkKubeconfig(spec, have, ca, r); err != nil {
				errs = append(errs, misfit(spec.Path, path.Base(spec.Path), "ca", err))
			}
			out[i] = have
		case !errors.Is(err, fs.ErrNotExist):
			errs = append(errs, err)
		case spec.Name == "super-admin" && exists(r, adminConf):
			// put away by the administrator
		case !s.makes("kubeconfig", spec.Name):
		default:
			work.Go(func() (err error) {
				out[i], err = s.newKubeconfig(c, spec, ca)
				return err
			})
		}
	}
	if err := errors.Join(append(errs, work.Wait())...); err != nil {
		return err
	}
	s.Kubeconfigs = map[string][]byte{}
	for i, spec := range specs {
		if out[i] != nil {
			s.Kubeconfigs[spec.Name] = out[i]
		}
	}
	return nil
}

func (s *State) kubeconfigSpec(c *manifests.Cluster, k manifests.KubeconfigSpec) pki.Spec {
	return s.certSpec(c, manifests.CertSpec{CA: "ca", CommonName: k.CommonName, Organization: k.Organization, Usages: clientAuth()})
}

func (s *State) newKubeconfig(c *manifests.Cluster, k manifests.KubeconfigSpec, ca *pki.Pair) ([]byte, error) {
	pair, err := pki.NewLeaf(ca, s.kubeconfigSpec(c, k))
	if err != nil {
		return nil, fmt.Errorf("make %s: %w", k.Path, err)
	}
	return manifests.Kubeconfig(c, k, ca.CertPEM, pair.CertPEM, pair.KeyPEM)
}

// checkKubeconfig says what does not fit: the CA, the server, the client certificate.
func (s *State) checkKubeconfig(k manifests.KubeconfigSpec, data []byte, ca *pki.Pair, r host.Reader) error {
	have, err := parseKubeconfig(data, path.Dir(k.Path), r)
	if err != nil {
		return err
	}
	if !containsPEM(have.ca, ca.CertPEM) {
		return errors.New("it belongs to another cluster: its CA is not the one in the certificates folder")
	}
	if have.server != k.Server {
		return fmt.Errorf("its server is %s, wanted %s", have.server, k.Server)
	}
	if have.cert == nil {
		return errors.New("it has no client certificate")
	}
	pair, err := pki.Parse(have.cert, have.key)
	if err != nil {
		return err
	}
	return pki.Check(pair, ca, s.kubeconfigSpec(s.Cluster, k), s.Now)
}

// kubeconfigFile is the part of a kubeconfig that is looked at.
type kubeconfigFile struct {
	cluster   string // its name
	server    string
	ca        []byte
	cert, key []byte // nil where it has no client certificate
}

// parseKubeconfig reads the current context of a kubeconfig. Files that it names are read too, relative to dir.
func parseKubeconfig(data []byte, dir string, r host.Reader) (*kubeconfigFile, error) {
	var f struct {
		CurrentContext string `json:"current-context"`
		Contexts       []struct {
			Name    string `json:"name"`
			Context struct {
				Cluster string `json:"cluster"`
				User    string `json:"user"`
			} `json:"context"`
		} `json:"contexts"`
		Clusters []struct {
			Name    string `json:"name"`
			Cluster struct {
				Server string `json:"server"`
				CAData []byte `json:"certificate-authority-data"`
				CAFile string `json:"certificate-authority"`
			} `json:"cluster"`
		} `json:"clusters"`
		Users []struct {
			Name string `json:"name"`
			User struct {
				CertData []byte `json:"client-certificate-data"`
				CertFile string `json:"client-certificate"`
				KeyData  []byte `json:"client-key-data"`
				KeyFile  string `json:"client-key"`
			} `json:"user"`
		} `json:"users"`
	}
	if err := yaml.Unmarshal(data, &f); err != nil {
		return nil, fmt.Errorf("read kubeconfig: %w", err)
	}
	inline := func(data []byte, file string) ([]byte, error) {
		if len(data) > 0 || file == "" {
			return data, nil
		}
		if !path.IsAbs(file) {
			file = path.Join(dir, file)
		}
		return r.ReadFile(file)
	}
	for _, ctx := range f.Contexts {
		if ctx.Name != f.CurrentContext {
			continue
		}
		var out kubeconfigFile
		var err error
		for _, c := range f.Clusters {
			if c.Name == ctx.Context.Cluster {
				out.cluster, out.server = c.Name, c.Cluster.Server
				if out.ca, err = inline(c.Cluster.CAData, c.Cluster.CAFile); err != nil {
					return nil, err
				}
			}
		}
		for _, u := range f.Users {
			if u.Name == ctx.Context.User {
				if out.cert, err = inline(u.User.CertData, u.User.CertFile); err != nil {
					return nil, err
				}
				if out.key, err = inline(u.User.KeyData, u.User.KeyFile); err != nil {
					return nil, err
				}
			}
		}
		if out.server == "" {
			return nil, fmt.Errorf("read kubeconfig: context %q has no server", f.CurrentContext)
		}
		return &out, nil
	}
	return nil, fmt.Errorf("read kubeconfig: it has no context %q", f.CurrentContext)
}

// containsPEM reports whether every PEM block of want is among those of have.
func containsPEM(have, want []byte) bool {
	blocks := func(b []byte) (out [][]byte) {
		for {
			var p *pem.Block
			if p, b = pem.Decode(b); p == nil {
				return out
			}
			out = append(out, p.Bytes)
		}
	}
	present := blocks(have)
	wanted := blocks(want)
	for _, w := range wanted {
		found := false
		for _, h := range present {
			found = found || bytes.Equal(h, w)
		}
		if !found {
			return false
		}
	}
	return len(wanted) > 0
}
