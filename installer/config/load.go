package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ReadFile reads a file that the user named. The package has no other way to the host.
type ReadFile func(path string) ([]byte, error)

// readDocuments reads the file of --config; without one the documents are empty.
func readDocuments(path string, read ReadFile) (*documents, error) {
	if path == "" {
		return &documents{}, nil
	}
	data, err := read(path)
	if err != nil {
		return nil, usage(fmt.Errorf("read configuration: %w", err))
	}
	return parseDocuments(path, data)
}

// ownFlags tells the flags of a command's configuration from the others of its flag set.
func ownFlags(f interface{ AddFlags(fs *pflag.FlagSet) }) func(name string) bool {
	fs := pflag.NewFlagSet("", pflag.ContinueOnError)
	f.AddFlags(fs)
	return func(name string) bool { return fs.Lookup(name) != nil }
}

// override gives the flag's value where there is one.
func override(flag, file string) string {
	if flag != "" {
		return flag
	}
	return file
}

func overrideList(flag, file []string) []string {
	if len(flag) > 0 {
		return flag
	}
	return file
}

// names makes a list of names comparable: lower case, trimmed, sorted, without duplicates. A list may also come as one text with commas.
func names(lists ...[]string) []string {
	var all []string
	for _, list := range lists {
		for _, entry := range list {
			for name := range strings.SplitSeq(entry, ",") {
				if name = strings.ToLower(strings.TrimSpace(name)); name != "" {
					all = append(all, name)
				}
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func timeouts(o *TimeoutOverrides, p *problems) Timeouts {
	t := DefaultTimeouts()
	if o == nil {
		return t
	}
	for _, f := range []struct {
		name string
		from *metav1.Duration
		to   *time.Duration
	}{
		{"controlPlaneComponentHealthCheck", o.ControlPlaneComponentHealthCheck, &t.ControlPlaneComponentHealthCheck},
		{"kubeletHealthCheck", o.KubeletHealthCheck, &t.KubeletHealthCheck},
		{"kubernetesAPICall", o.KubernetesAPICall, &t.KubernetesAPICall},
		{"etcdAPICall", o.EtcdAPICall, &t.EtcdAPICall},
		{"tlsBootstrap", o.TLSBootstrap, &t.TLSBootstrap},
		{"discovery", o.Discovery, &t.Discovery},
		{"upgradeManifests", o.UpgradeManifests, &t.UpgradeManifests},
	} {
		if f.from == nil {
			continue
		}
		if f.from.Duration <= 0 {
			p.add("timeouts."+f.name, "%s is not a time to wait", f.from.Duration)
			continue
		}
		*f.to = f.from.Duration
	}
	return t
}

func patchesDir(flag string, file *Patches) string {
	if flag == "" && file != nil {
		return file.Directory
	}
	return flag
}

// LoadReset makes the configuration of `reset`.
func LoadReset(f *ResetFlags, read ReadFile) (*Reset, error) {
	if err := refuseMixed(f.set, ownFlags(&ResetFlags{})); err != nil {
		return nil, err
	}
	docs, err := readDocuments(f.Config, read)
	if err != nil {
		return nil, err
	}
	file := docs.reset
	if file == nil {
		if f.Config != "" {
			return nil, usage(fmt.Errorf("%s: has no ResetConfiguration", f.Config))
		}
		file = &ResetConfiguration{
			CertificatesDir: f.CertificatesDir, CleanupTmpDir: f.CleanupTmpDir, CRISocket: f.CRISocket, Force: f.Force,
		}
	}
	var p problems
	r := &Reset{
		CertificatesDir:       override(file.CertificatesDir, DefaultCertificatesDir),
		CleanupTmpDir:         file.CleanupTmpDir,
		Force:                 file.Force,
		SkipPhases:            names(overrideList(f.SkipPhases, file.SkipPhases)),
		UnmountFlags:          file.UnmountFlags,
		IgnorePreflightErrors: names(f.IgnorePreflightErrors, file.IgnorePreflightErrors),
		DryRun:                f.DryRun || file.DryRun,
		Timeouts:              timeouts(file.Timeouts, &p),
	}
	if file.CRISocket != "" {
		r.CRISocket = socket(file.CRISocket, "criSocket", &p)
	}
	p.absolute("certificatesDir", r.CertificatesDir)
	for _, flag := range r.UnmountFlags {
		if !slices.Contains([]string{"MNT_FORCE", "MNT_DETACH", "MNT_EXPIRE", "UMOUNT_NOFOLLOW"}, flag) {
			p.add("unmountFlags", "unknown flag %q: known are MNT_FORCE, MNT_DETACH, MNT_EXPIRE, UMOUNT_NOFOLLOW", flag)
		}
	}
	return r, p.err()
}

// LoadToken makes the token of `token create`; args are the command's arguments: the token, or nothing. Without --config it is
// the flags' content; an empty Token in the result means: make a random one. Exactly one of TTL and Expires is set in it.
func LoadToken(f *TokenFlags, args []string, read ReadFile) (*BootstrapToken, error) {
	if err := refuseMixed(f.set, ownFlags(&TokenFlags{})); err != nil {
		return nil, err
	}
	if len(args) > 1 {
		return nil, usage(errors.New("token create takes one token, or none to make a random one"))
	}
	docs, err := readDocuments(f.Config, read)
	if err != nil {
		return nil, err
	}
	t := BootstrapToken{Description: f.Description, Usages: f.Usages, Groups: f.Groups, TTL: &metav1.Duration{Duration: f.TTL}}
	if f.Config != "" {
		if docs.init == nil || len(docs.init.BootstrapTokens) == 0 {
			return nil, usage(fmt.Errorf("%s: has no InitConfiguration with bootstrapTokens", f.Config))
		}
		t = docs.init.BootstrapTokens[0]
	}
	if len(args) == 1 {
		t.Token = args[0]
	}
	var p problems
	defaultToken(&t)
	p.token("token", &t)
	if f.CertificateKey != "" {
		p.certificateKey("certificate-key", f.CertificateKey)
	}
	return &t, p.err()
}
