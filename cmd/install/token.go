package main

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"kubebundle/installer/cluster"
	"kubebundle/installer/config"
	"kubebundle/installer/phase"
	"kubebundle/installer/pki"
)

func (a *app) tokenCmd() *cobra.Command {
	return group("token", "Bootstrap tokens, with which nodes join", a.tokenCreate(), a.tokenList(), a.tokenDelete(), &cobra.Command{
		Use: "generate", Short: "Print a random token; no cluster hears of it", Args: noArgs, Annotations: anyHost,
		RunE: func(*cobra.Command, []string) error {
			t, err := cluster.NewToken()
			if err != nil {
				return err
			}
			return a.printToken(t.String())
		},
	})
}

func (a *app) printToken(s string) error {
	if a.output == "json" {
		return a.printJSON(map[string]string{"token": s})
	}
	_, err := fmt.Fprintln(a.out, s)
	return err
}

// apiTimeout bounds a verb that only talks to the API server.
const apiTimeout = time.Minute

// admin opens the cluster of this node, or of the kubeconfig that was given.
func (a *app) admin(ctx context.Context, kubeconfig string) (*cluster.Client, error) {
	if kubeconfig != "" {
		data, err := readFile(kubeconfig)
		if err != nil {
			return nil, fmt.Errorf("--kubeconfig: %w", err)
		}
		return clientFor(data)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return nodeClient(a.host)
}

func kubeconfigFlag(cmd *cobra.Command, to *string) {
	cmd.Flags().StringVar(to, "kubeconfig", "", "`path` of a kubeconfig (default: /etc/kubernetes/admin.conf)")
}

func (a *app) tokenCreate() *cobra.Command {
	var f config.TokenFlags
	var kubeconfig string
	var dryRun bool
	cmd := &cobra.Command{
		Use: "create [TOKEN]", Short: "Store a token in the cluster and print it", Args: someArgs(0, 1, "at most a token"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), apiTimeout)
			defer cancel()
			bt, err := config.LoadToken(&f, args, readFile)
			if err != nil {
				return err
			}
			t, err := newToken(bt, time.Now())
			if err != nil {
				return err
			}
			c, err := a.admin(ctx, kubeconfig)
			if err != nil {
				return err
			}
			text := t.String()
			if f.PrintJoinCommand {
				if text, err = a.joinCommand(c, text, f.CertificateKey); err != nil {
					return err
				}
			}
			if !dryRun {
				if err := c.PutToken(ctx, *t); err != nil {
					return err
				}
			}
			if f.PrintJoinCommand && a.output == "json" {
				return a.printJSON(map[string]string{"token": t.String(), "joinCommand": text})
			}
			return a.printToken(text)
		},
	}
	f.AddFlags(cmd.Flags())
	kubeconfigFlag(cmd, &kubeconfig)
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "print it and store nothing")
	return cmd
}

// newToken makes a token of its configuration; an empty one is random.
func newToken(bt *config.BootstrapToken, now time.Time) (*cluster.Token, error) {
	t, err := cluster.NewToken()
	if bt.Token != "" {
		t, err = cluster.ParseToken(bt.Token)
	}
	if err != nil {
		return nil, err
	}
	t.Description, t.Usages, t.Groups = bt.Description, bt.Usages, bt.Groups
	switch {
	case bt.Expires != nil:
		t.Expires = bt.Expires.Time
	case bt.TTL != nil && bt.TTL.Duration > 0:
		t.Expires = now.Add(bt.TTL.Duration)
	}
	return &t, nil
}

// joinCommand is the line for a worker, or with a certificate key for a control plane: the server that c talks to, and the pin of its CA.
func (a *app) joinCommand(c *cluster.Client, token, certificateKey string) (string, error) {
	caPEM, err := a.host.ReadFile(config.DefaultCertificatesDir + "/ca.crt")
	if err != nil {
		return "", fmt.Errorf("pin of the cluster's CA: %w", err)
	}
	if block, _ := pem.Decode(caPEM); block == nil {
		return "", errors.New("pin of the cluster's CA: " + config.DefaultCertificatesDir + "/ca.crt holds no certificate")
	}
	ca, err := pki.Parse(caPEM, nil)
	if err != nil {
		return "", fmt.Errorf("pin of the cluster's CA: %w", err)
	}
	// One line: it is meant to be copied by a program. The server's own address is the one that others reach.
	line := phase.JoinCommand(c.Server, token, pki.Pin(ca.Cert))
	if certificateKey != "" {
		line = phase.JoinControlPlaneCommand(c.Server, token, pki.Pin(ca.Cert), certificateKey)
	}
	return strings.Join(strings.Fields(strings.ReplaceAll(line, "\\\n", " ")), " "), nil
}

func (a *app) tokenList() *cobra.Command {
	var kubeconfig string
	cmd := &cobra.Command{
		Use: "list", Short: "List the cluster's tokens", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), apiTimeout)
			defer cancel()
			c, err := a.admin(ctx, kubeconfig)
			if err != nil {
				return err
			}
			list, err := c.Tokens(ctx)
			if err != nil {
				return err
			}
			return a.printTokens(list, time.Now())
		},
	}
	kubeconfigFlag(cmd, &kubeconfig)
	return cmd
}

// tokenJSON is a token as `token list -o json` prints it, one object per line of the list, named as kubeadm names the fields.
type tokenJSON struct {
	Token       string     `json:"token"`
	Expires     *time.Time `json:"expires,omitempty"`
	Usages      []string   `json:"usages,omitempty"`
	Description string     `json:"description,omitempty"`
	Groups      []string   `json:"groups,omitempty"`
}

func (a *app) printTokens(list []cluster.Token, now time.Time) error {
	if a.output == "json" {
		out := make([]tokenJSON, 0, len(list))
		for _, t := range list {
			j := tokenJSON{Token: t.String(), Usages: t.Usages, Description: t.Description, Groups: t.Groups}
			if !t.Expires.IsZero() {
				j.Expires = &t.Expires
			}
			out = append(out, j)
		}
		return a.printJSON(out)
	}
	rows := [][]string{{"TOKEN", "TTL", "EXPIRES", "USAGES", "DESCRIPTION", "EXTRA GROUPS"}}
	for _, t := range list {
		ttl, expires := "<forever>", "<never>"
		if !t.Expires.IsZero() {
			expires = t.Expires.UTC().Format(time.RFC3339)
			if ttl = "<expired>"; t.Expires.After(now) {
				ttl = t.Expires.Sub(now).Truncate(time.Second).String()
			}
		}
		rows = append(rows, []string{t.String(), ttl, expires, orNone(strings.Join(t.Usages, ",")), orNone(t.Description), orNone(strings.Join(t.Groups, ","))})
	}
	return a.printTable(rows)
}

func orNone(s string) string {
	if s == "" {
		return "<none>"
	}
	return s
}

func (a *app) tokenDelete() *cobra.Command {
	var kubeconfig string
	cmd := &cobra.Command{
		Use: "delete TOKEN…", Short: "Delete tokens, named whole or by the six characters before the dot", Args: someArgs(1, -1, "tokens"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), apiTimeout)
			defer cancel()
			var ids []string
			for _, arg := range args {
				id, secret, whole := strings.Cut(arg, ".")
				if !whole {
					secret = strings.Repeat("0", 16)
				}
				if _, err := cluster.ParseToken(id + "." + secret); err != nil {
					return usagef("", "token delete: %q is neither a token nor the six characters before its dot", redact(arg))
				}
				ids = append(ids, id)
			}
			c, err := a.admin(ctx, kubeconfig)
			if err != nil {
				return err
			}
			for _, id := range ids {
				if err := c.DeleteToken(ctx, id); err != nil {
					return err
				}
				a.say("bootstrap token %q deleted\n", id)
			}
			return nil
		},
	}
	kubeconfigFlag(cmd, &kubeconfig)
	return cmd
}

// redact keeps a secret that was typed wrongly out of the error.
func redact(token string) string {
	id, _, ok := strings.Cut(token, ".")
	if !ok {
		return token
	}
	return id + ".…"
}
