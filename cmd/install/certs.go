package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubebundle/installer"
	"kubebundle/installer/config"
	"kubebundle/installer/phase"
)

func (a *app) certsCmd() *cobra.Command {
	return group("certs", "Certificates of a control plane node: look, renew, have them signed elsewhere",
		a.certsCheck(), a.certsRenew(), a.certsKey(), a.certsCSR())
}

// certificateJSON is a certificate as kubeadm prints it with -o json (output.kubeadm.k8s.io/v1alpha3), broken being ours.
type certificateJSON struct {
	Name              string       `json:"name"`
	CAName            string       `json:"caName,omitempty"`
	ExpirationDate    *metav1.Time `json:"expirationDate"`
	ResidualTime      int64        `json:"residualTime"` // seconds
	ExternallyManaged bool         `json:"externallyManaged"`
	Missing           bool         `json:"missing"`
	Broken            string       `json:"broken,omitempty"`
}

type expirationJSON struct {
	metav1.TypeMeta `json:",inline"`

	Certificates           []certificateJSON `json:"certificates"`
	CertificateAuthorities []certificateJSON `json:"certificateAuthorities"`
}

func (a *app) certsCheck() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use: "check-expiration", Short: "Say when each certificate ends", Args: noArgs,
		Long: "Say when each certificate ends, those in kubeconfigs too. It reads files only and asks nobody.\n\n" +
			"The kubelet's own certificate is not listed: it renews itself. `install certs renew all` renews the rest.",
		RunE: func(*cobra.Command, []string) error {
			leaves, cas, err := phase.Expirations(a.host, dir)
			if err != nil {
				return err
			}
			now := time.Now()
			if a.output == "json" {
				return a.printJSON(expirationJSON{
					TypeMeta:     metav1.TypeMeta{APIVersion: "output.kubeadm.k8s.io/v1alpha3", Kind: "CertificateExpirationInfo"},
					Certificates: expirations(leaves, now), CertificateAuthorities: expirations(cas, now),
				})
			}
			return a.printTable(append(append(
				expirationRows("CERTIFICATE", leaves, now), []string{""}), expirationRows("CERTIFICATE AUTHORITY", cas, now)...))
		},
	}
	certDirFlag(cmd, &dir)
	return cmd
}

func certDirFlag(cmd *cobra.Command, to *string) {
	cmd.Flags().StringVar(to, "cert-dir", config.DefaultCertificatesDir, "`directory` of the certificates")
}

func expirations(list []phase.Expiration, now time.Time) []certificateJSON {
	out := make([]certificateJSON, 0, len(list))
	for _, e := range list {
		c := certificateJSON{Name: e.Name, CAName: e.CA, ExternallyManaged: e.External, Missing: e.Missing}
		if !e.NotAfter.IsZero() {
			c.ExpirationDate, c.ResidualTime = &metav1.Time{Time: e.NotAfter.UTC()}, int64(e.NotAfter.Sub(now)/time.Second)
		}
		if e.Broken != nil {
			c.Broken = e.Broken.Error()
		}
		out = append(out, c)
	}
	return out
}

func expirationRows(title string, list []phase.Expiration, now time.Time) [][]string {
	rows := [][]string{{title, "EXPIRES", "RESIDUAL TIME", "SIGNED BY", "EXTERNALLY MANAGED"}}
	for _, e := range list {
		expires, left := "-", "-"
		if !e.NotAfter.IsZero() {
			expires, left = e.NotAfter.UTC().Format("Jan 02, 2006 15:04 MST"), residual(e.NotAfter.Sub(now))
		}
		switch {
		case e.Missing:
			expires = "missing"
		case e.Broken != nil:
			left = "does not work: " + e.Broken.Error()
		}
		external := "no"
		if e.External {
			external = "yes"
		}
		rows = append(rows, []string{e.Name, expires, left, orNone(e.CA), external})
	}
	return rows
}

// residual counts as kubeadm does: years, days, hours, minutes, the largest that is not zero.
func residual(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d <= 0:
		return "<expired>"
	case d >= 365*day:
		return fmt.Sprintf("%dy", d/(365*day))
	case d >= day:
		return fmt.Sprintf("%dd", d/day)
	case d >= time.Hour:
		return fmt.Sprintf("%dh", d/time.Hour)
	default:
		return fmt.Sprintf("%dm", d/time.Minute)
	}
}

// validityWarning is said before certificates are made that live longer than Kubernetes' own: the year is there so that a stolen key ends.
const validityWarning = `warning: certificates that live %s cannot be revoked before: Kubernetes checks no revocation list, so whoever gets hold of a key keeps its rights until then (kubeadm's are valid for a year)
`

// shortWarning is said before certificates are made that end sooner than people look.
const shortWarning = `warning: certificates that live %s stop this control plane when they end, unless they are renewed before: install certs renew all --timer lets the node do it
`

// warnValidity says what it means that certificates live longer, or much shorter, than Kubernetes' own. 0 is theirs.
func (a *app) warnValidity(d time.Duration) {
	const day = 24 * time.Hour
	switch {
	case d > 365*day:
		a.say(validityWarning, residual(d))
	case d > 0 && d < 90*day:
		a.say(shortWarning, residual(d))
	}
}

func (a *app) certsRenew() *cobra.Command {
	p := phase.RenewCerts{}
	var dryRun bool
	var timer string
	cmd := &cobra.Command{
		Use: "renew all|NAME…", Short: "Renew certificates and start what reads them anew",
		Args: func(cmd *cobra.Command, args []string) error {
			if timer != "" {
				return nil // all
			}
			return someArgs(1, -1, "all, or names of certificates")(cmd, args)
		},
		ValidArgs: append([]string{"all"}, phase.RenewableNames()...),
		Long: "Renew certificates: same names, same usages, new keys, signed by the CAs on this host. The API server need not run.\n\n" +
			"Then the static pods that read them are started anew together, while the kubelet is stopped. On a cluster of one control plane the API is\n" +
			"away for some seconds. A copy of admin.conf (~/.kube/config) is to be copied again.\n\n" +
			"With --timer nothing is renewed now: the node looks every day and renews what ends within a month (--within), or within a third of the\n" +
			"certificates' life if that is less, with a copy of this program that it keeps. --timer=off takes that away, and so does reset.\n\n" +
			"Names: all, " + strings.Join(phase.RenewableNames(), ", "),
		RunE: func(cmd *cobra.Command, args []string) error {
			if p.Within < 0 || p.Validity < 0 {
				return usagef("", "--within and --cert-validity: a time cannot be negative")
			}
			for _, name := range args {
				if !slices.Contains(cmd.ValidArgs, name) {
					return usagef("known are "+strings.Join(cmd.ValidArgs, ", "), "unknown certificate %q", name)
				}
			}
			p.Names = args
			a.warnValidity(p.Validity)
			if timer != "" {
				return a.renewTimer(cmd.Context(), p, timer, dryRun)
			}
			return a.tend(cmd.Context(), "certs renew", installer.RenewCerts(p, installer.NodeCRISocket(a.host)), dryRun)
		},
	}
	certDirFlag(cmd, &p.CertDir)
	cmd.Flags().DurationVar(&p.Within, "within", 0, "renew only what ends within this `time`, as in 720h; 0 renews whatever is named")
	cmd.Flags().DurationVar(&p.Validity, "cert-validity", 0, "`time` that the new certificates live, at most as long as their CA (default: as long as the ones before)")
	cmd.Flags().StringVar(&timer, "timer", "", "`on|off`: let the node renew by itself, every day what is about to end")
	cmd.Flags().Lookup("timer").NoOptDefVal = "on"
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "say what would be done, and do nothing")
	return cmd
}

// renewTimer is `certs renew --timer`.
func (a *app) renewTimer(ctx context.Context, p phase.RenewCerts, timer string, dryRun bool) error {
	if timer != "on" && timer != "off" {
		return usagef("write --timer or --timer=off", "--timer %q: neither on nor off", timer)
	}
	if len(p.Names) == 0 {
		p.Names = []string{"all"}
	}
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	return a.tend(ctx, "certs renew --timer", installer.RenewTimer(phase.RenewTimer{RenewCerts: p, Off: timer == "off", Program: program}), dryRun)
}

// tend runs a workflow that needs no bundle, on a node that stands.
func (a *app) tend(ctx context.Context, name string, phases []phase.Phase, dryRun bool) error {
	facts, err := a.host.Facts(ctx)
	if err != nil {
		return err
	}
	j, err := installer.OpenJournal(a.host)
	if err != nil && facts.UID == 0 {
		return err
	}
	_, version, _ := j.Workflow()
	n := &node{facts: facts, journal: j}
	n.target, n.close = a.target(func() string { return "" })
	defer n.close()
	s := &phase.State{Facts: facts, Now: time.Now(), Rand: rand.Reader, Log: a.logger(), Environ: a.environ}
	return a.runJob(ctx, job{name: name, version: version, phases: phases, state: s, node: n, dryRun: dryRun})
}

func (a *app) certsKey() *cobra.Command {
	return &cobra.Command{
		Use: "certificate-key", Short: "Print a random key for --certificate-key", Args: noArgs, Annotations: anyHost,
		Long: "Print a random key for `init --upload-certs --certificate-key`: 32 bytes in hex. No cluster hears of it.",
		RunE: func(*cobra.Command, []string) error {
			key := make([]byte, 32)
			if _, err := rand.Read(key); err != nil {
				return err
			}
			if a.output == "json" {
				return a.printJSON(map[string]string{"certificateKey": hex.EncodeToString(key)})
			}
			_, err := fmt.Fprintln(a.out, hex.EncodeToString(key))
			return err
		},
	}
}

func (a *app) certsCSR() *cobra.Command {
	var f config.InitFlags
	var p phase.GenerateCSR
	cmd := &cobra.Command{
		Use: "generate-csr", Short: "Write keys and requests for certificates that a CA elsewhere signs", Args: noArgs,
		Long: "Write keys and requests for certificates that a CA elsewhere signs: NAME.key and NAME.csr beside each other, and kubeconfigs which lack\n" +
			"only their certificate. Have the requests signed, put ca.crt, etcd/ca.crt, front-proxy-ca.crt and the certificates into place, then\n" +
			"run init: it uses what it finds. Keys that are there are left alone.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			n, cfg, err := a.loadInit(cmd.Context(), &f)
			if err != nil {
				return err
			}
			defer n.close()
			if p.KubeconfigDir, err = filepath.Abs(p.KubeconfigDir); err != nil {
				return err
			}
			p.CertDir = cfg.Cluster.CertificatesDir
			s := a.state(n, false)
			s.Init = cfg
			return a.runJob(cmd.Context(), job{
				name: "certs generate-csr", phases: []phase.Phase{p}, state: s, node: n, dryRun: cfg.DryRun,
			})
		},
	}
	f.AddFlags(cmd.Flags())
	cmd.Flags().StringVar(&p.KubeconfigDir, "kubeconfig-dir", "/etc/kubernetes", "`directory` for the kubeconfigs")
	return cmd
}
