package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"kubebundle/bundle"
	"kubebundle/installer"
	"kubebundle/installer/config"
	"kubebundle/installer/host"
	"kubebundle/installer/phase"
	"kubebundle/release"
)

const renderLong = `Print what init would make of a configuration: static pods, kubeconfigs, what the kubelet reads, its units, ConfigMaps, RBAC, the DNS and
kube-proxy add-ons. No host is looked at and nothing is changed; neither root nor a bundle is needed if --kubernetes-version (or the
configuration) says a version. The same configuration gives the same bytes.

Certificates and keys are words in angle brackets; "certificates" lists what each certificate would say. Bootstrap tokens are left out.
What follows from a host is rendered for a plain one: cgroup v2, a default route, name servers in /etc/resolv.conf, no proxy. Without
--node-name and --apiserver-advertise-address, node and 1.2.3.4 stand for them.

Names choose, by themselves or by phase: install render etcd kube-apiserver; install render addon | kubectl apply -f -
The text is a YAML stream where all that was chosen is YAML (units and kubelet/kubeadm-flags.env are not). -o json and -o yaml make one list.`

func (a *app) renderCmd() *cobra.Command {
	var f config.InitFlags
	var dir, arch string
	cmd := &cobra.Command{
		Use: "render [NAME…]", Short: "Print every file and object of a configuration, without a host", Args: someArgs(0, -1, "names"),
		Long: renderLong, Annotations: map[string]string{"anyHost": "", "yaml": ""},
		RunE: func(cmd *cobra.Command, names []string) error {
			list, err := a.renderAll(cmd.Context(), &f, release.Arch(arch))
			if err != nil {
				return err
			}
			if list, err = installer.ChooseArtefacts(list, names); err != nil {
				return err
			}
			switch {
			case dir != "":
				return a.writeArtefacts(dir, list)
			case a.output != "text":
				return a.listArtefacts(list)
			default:
				return a.streamArtefacts(list)
			}
		},
	}
	f.AddFlags(cmd.Flags())
	cmd.Flags().StringVar(&dir, "output-dir", "", "`directory` to write into: files at their paths below it, objects below its folder objects")
	cmd.Flags().StringVar(&arch, "arch", runtime.GOARCH, "`architecture` of the images, where no bundle says it")
	return cmd
}

// renderAll renders for the version that is named, with the bundle's images where a bundle of that version is at hand.
func (a *app) renderAll(ctx context.Context, f *config.InitFlags, arch release.Arch) ([]installer.Artefact, error) {
	named, err := config.NamedVersion(f, readFile)
	if err != nil {
		return nil, err
	}
	b, _, err := a.openBundle(ctx)
	var usage *usageError
	switch {
	case errors.As(err, &usage) && named == "":
		return nil, usagef("name one with --kubernetes-version, or a bundle with --bundle", "render: for which version of Kubernetes?")
	case errors.As(err, &usage):
		b = nil // none is needed
	case err != nil:
		return nil, err
	}
	if b != nil && named != "" && named != b.Contract().KubernetesVersion {
		b = nil
	}
	s := &phase.State{Bundle: b, Now: time.Unix(0, 0), Log: a.logger()}
	if b != nil {
		if s.Release, err = releaseOf(b.Contract()); err != nil {
			return nil, err
		}
		s.Init, err = config.LoadInit(f, readFile, config.Unplaced(b.Contract().KubernetesVersion, repositoryOf(b.Contract())))
		arch = release.Arch(b.Contract().Arch)
	} else {
		s.Release, s.Init, s.Contract, err = withoutBundle(f, named, arch)
	}
	if err != nil {
		return nil, err
	}
	if config.Placeholder(s.Init.LocalAPIEndpoint.AdvertiseAddress) {
		a.say("note: %s stands for the address of the node: give --apiserver-advertise-address, or localAPIEndpoint.advertiseAddress in the configuration\n",
			s.Init.LocalAPIEndpoint.AdvertiseAddress)
	}
	s.Facts = host.Facts{
		Hostname: s.Init.NodeRegistration.Name, OS: "linux", Arch: string(arch), CgroupVersion: 2, Systemd: true,
		DefaultRouteIP: s.Init.NodeIP, Nameservers: []string{"of the host"},
	}
	h := host.NewMemory()
	if err := carryPatches(h, &s.Init.PatchesDir); err != nil {
		return nil, err
	}
	return installer.Render(ctx, s, h)
}

// withoutBundle is a configuration for a version, and the images that a bundle of it would have.
func withoutBundle(f *config.InitFlags, named string, arch release.Arch) (*release.Release, *config.Init, *bundle.Contract, error) {
	v, err := release.Parse(named)
	if err != nil {
		return nil, nil, nil, usagef("", "%w", err)
	}
	rel, err := release.Find(v, release.Options{})
	if err != nil {
		return nil, nil, nil, err
	}
	cfg, err := config.LoadInit(f, readFile, config.Unplaced(named, rel.ImageRepository()))
	if err != nil {
		return nil, nil, nil, err
	}
	o := release.Options{KubeDNS: cfg.DNSType == "kube-dns"}
	if cfg.Cluster.ImageRepository != rel.ImageRepository() {
		o.ImageRepository = cfg.Cluster.ImageRepository
	}
	if rel, err = release.Find(v, o); err != nil {
		return nil, nil, nil, err
	}
	images, err := rel.Images(arch)
	if err != nil {
		return nil, nil, nil, usagef("", "--arch: %w", err)
	}
	c := &bundle.Contract{KubernetesVersion: named, OS: "linux", Arch: string(arch)}
	for _, img := range images {
		ref := img.Ref
		switch {
		case img.Component == release.CoreDNS:
			ref = otherImage(ref, cfg.Cluster.DNS.ImageMeta)
		case img.Component == release.Etcd && cfg.Cluster.Etcd.Local != nil:
			ref = otherImage(ref, cfg.Cluster.Etcd.Local.ImageMeta)
		}
		c.Images = append(c.Images, bundle.Image{Ref: ref, Component: string(img.Component)})
	}
	return rel, cfg, c, nil
}

// otherImage puts the user's repository and tag into a reference, as kubeadm does.
func otherImage(ref string, m config.ImageMeta) string {
	name, tag := ref, ""
	if i := strings.LastIndex(ref, ":"); i > strings.LastIndex(ref, "/") {
		name, tag = ref[:i], ref[i+1:]
	}
	if m.ImageRepository != "" {
		name = m.ImageRepository + "/" + path.Base(name)
	}
	if m.ImageTag != "" {
		tag = m.ImageTag
	}
	return name + ":" + tag
}

// carryPatches puts the user's patches where the phases look for them.
func carryPatches(h *host.Memory, to *string) error {
	if *to == "" {
		return nil
	}
	dir, err := filepath.Abs(*to)
	if err != nil {
		return err
	}
	*to = dir
	entries, err := os.ReadDir(dir)
	if err != nil {
		return usagef("", "--patches: %w", err)
	}
	for _, e := range entries {
		if e.IsDir() {
			continue
		}
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return err
		}
		if err := h.WriteFile(filepath.Join(dir, e.Name()), data, 0o600); err != nil {
			return err
		}
	}
	return nil
}

func (a *app) streamArtefacts(list []installer.Artefact) error {
	var out bytes.Buffer
	for i, f := range list {
		if i > 0 {
			out.WriteString("---\n")
		}
		if f.Path != "" {
			fmt.Fprintf(&out, "# %s: %s %04o\n", f.Name, f.Path, f.Mode.Perm())
		} else {
			fmt.Fprintf(&out, "# %s\n", f.Name)
		}
		out.Write(withNewline(f.Data))
	}
	_, err := a.out.Write(out.Bytes())
	return err
}

func withNewline(data []byte) []byte {
	if bytes.HasSuffix(data, []byte("\n")) {
		return data
	}
	return append(bytes.Clone(data), '\n')
}

// artefactJSON is an artefact for machines: a file has its exact content, what is YAML has it parsed.
type artefactJSON struct {
	Name    string `json:"name"`
	Phase   string `json:"phase"`
	Path    string `json:"path,omitempty"`
	Mode    string `json:"mode,omitempty"`
	Content string `json:"content,omitempty"`
	Objects []any  `json:"objects,omitempty"`
}

func (a *app) listArtefacts(list []installer.Artefact) error {
	out := make([]artefactJSON, 0, len(list))
	for _, f := range list {
		j := artefactJSON{Name: f.Name, Phase: f.Phase, Path: f.Path}
		if f.Path != "" {
			j.Mode, j.Content = fmt.Sprintf("%04o", f.Mode.Perm()), string(f.Data)
		}
		if f.YAML() {
			for doc := range strings.SplitSeq(string(f.Data), "\n---\n") {
				var v any
				if err := yaml.Unmarshal([]byte(doc), &v); err != nil {
					return fmt.Errorf("render %s: %w", f.Name, err)
				}
				j.Objects = append(j.Objects, v)
			}
		}
		out = append(out, j)
	}
	if a.output == "json" {
		return a.printJSON(out)
	}
	data, err := yaml.Marshal(out)
	if err != nil {
		return err
	}
	_, err = a.out.Write(data)
	return err
}

// writeArtefacts writes below a folder and says which files.
func (a *app) writeArtefacts(dir string, list []installer.Artefact) error {
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // nothing in it is secret: keys are placeholders
		return err
	}
	tree, err := host.NewRooted(dir, host.Facts{})
	if err != nil {
		return err
	}
	for _, f := range list {
		p, mode := f.Path, f.Mode
		if p == "" {
			p, mode = "/objects/"+f.Name+".yaml", fs.FileMode(0o644)
		}
		if err := tree.WriteFile(p, withNewline(f.Data), mode); err != nil {
			return err
		}
		if _, err := fmt.Fprintln(a.out, filepath.Join(dir, p)); err != nil {
			return err
		}
	}
	return nil
}
